#include "service/rpc/decoded_size.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>

namespace chunkkv::rpc {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormatLite;

constexpr int64_t kMessageBytes = 128;
constexpr int64_t kStringBytes = 48;
constexpr int64_t kNumberBytes = 16;  // repeated or unknown

class Walk {
 public:
  Walk(google::protobuf::io::CodedInputStream& input, int64_t limit_bytes) : input_(input), limit_bytes_(limit_bytes) {}

  // False where reading is to end. No message of ours is within itself, so that this ends.
  bool Message(const Descriptor& type) {
    total_bytes_ += kMessageBytes;
    while (total_bytes_ <= limit_bytes_) {
      const uint32_t tag = input_.ReadTag();
      if (tag == 0) return true;
      if (!Field(type.FindFieldByNumber(WireFormatLite::GetTagFieldNumber(tag)), tag)) return false;
    }
    return false;
  }

  int64_t total_bytes() const { return total_bytes_; }

 private:
  bool Field(const FieldDescriptor* field, uint32_t tag) {
    if (field == nullptr || field->is_repeated()) total_bytes_ += kNumberBytes;
    switch (WireFormatLite::GetTagWireType(tag)) {
      case WireFormatLite::WIRETYPE_LENGTH_DELIMITED:
        return LengthDelimited(field);
      case WireFormatLite::WIRETYPE_START_GROUP:
      case WireFormatLite::WIRETYPE_END_GROUP:
        return true;  // what is in it counts as if it were beside it
      default:
        return WireFormatLite::SkipField(&input_, tag);
    }
  }

  bool LengthDelimited(const FieldDescriptor* field) {
    uint32_t length = 0;
    if (!input_.ReadVarint32(&length)) return false;
    if (field != nullptr && field->type() == FieldDescriptor::TYPE_MESSAGE) {
      const auto outer = input_.PushLimit(static_cast<int>(length));
      const bool go_on = Message(*field->message_type());
      input_.PopLimit(outer);
      return go_on;
    }
    const bool is_packed = field != nullptr && field->is_packable();
    total_bytes_ += is_packed ? int64_t{length} * PackedFactor(*field) : kStringBytes + length;
    return input_.Skip(static_cast<int>(length));
  }

  // Bytes of a number in memory for each of its bytes on the wire, at most.
  static int64_t PackedFactor(const FieldDescriptor& field) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT64:
      case FieldDescriptor::CPPTYPE_UINT64:
        return 8;
      case FieldDescriptor::CPPTYPE_DOUBLE:
      case FieldDescriptor::CPPTYPE_FLOAT:
        return 1;
      default:
        return 4;
    }
  }

  google::protobuf::io::CodedInputStream& input_;
  const int64_t limit_bytes_;
  int64_t total_bytes_ = 0;
};

}  // namespace

int64_t DecodedBytes(const grpc::ByteBuffer& bytes, const Descriptor& type, int64_t limit_bytes) {
  if (!bytes.Valid()) return 0;
  grpc::ByteBuffer read = bytes;
  grpc::ProtoBufferReader reader(&read);
  google::protobuf::io::CodedInputStream input(&reader);
  Walk walk(input, limit_bytes);
  walk.Message(type);
  return walk.total_bytes();
}

}  // namespace chunkkv::rpc
