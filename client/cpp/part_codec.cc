#include "client/cpp/part_codec.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <cstring>

#include "service/format/digest.h"

namespace chunkkv::client {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;

// Field 15 of the message, of the part and of the payload; field 1 of the payload, the checksum.
constexpr uint32_t kLastField = WireFormatLite::MakeTag(15, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
constexpr uint32_t kChecksum = WireFormatLite::MakeTag(1, WireFormatLite::WIRETYPE_FIXED64);
constexpr size_t kMaxHeadBytes = 512;

void AppendVarint(uint64_t value, std::string* text) {
  uint8_t bytes[10];
  text->append(reinterpret_cast<const char*>(bytes), CodedOutputStream::WriteVarint64ToArray(value, bytes) - bytes);
}

size_t VarintSize(uint64_t value) { return CodedOutputStream::VarintSize64(value); }

}  // namespace

std::string EncodePartHead(const v1::Part& part, uint64_t checksum, size_t payload_bytes) {
  const std::string fields = part.SerializeAsString();
  const size_t payload_size = 1 + sizeof(uint64_t) + 1 + VarintSize(payload_bytes) + payload_bytes;
  const size_t part_size = fields.size() + 1 + VarintSize(payload_size) + payload_size;
  std::string head;
  AppendVarint(kLastField, &head);
  AppendVarint(part_size, &head);
  head += fields;
  AppendVarint(kLastField, &head);
  AppendVarint(payload_size, &head);
  AppendVarint(kChecksum, &head);
  uint8_t fixed[sizeof(uint64_t)];
  CodedOutputStream::WriteLittleEndian64ToArray(checksum, fixed);
  head.append(reinterpret_cast<const char*>(fixed), sizeof fixed);
  AppendVarint(kLastField, &head);
  AppendVarint(payload_bytes, &head);
  return head;
}

std::optional<ReceivedPart> DecodePartHead(const std::vector<grpc::Slice>& slices) {
  uint8_t head[kMaxHeadBytes];
  size_t head_size = 0;
  size_t message_size = 0;
  for (const grpc::Slice& slice : slices) {
    const size_t taken = std::min(slice.size(), kMaxHeadBytes - head_size);
    std::memcpy(head + head_size, slice.begin(), taken);
    head_size += taken;
    message_size += slice.size();
  }
  CodedInputStream input(head, static_cast<int>(head_size));
  const auto at = [&] { return static_cast<size_t>(input.CurrentPosition()); };
  uint32_t size = 0;
  if (input.ReadTag() != kLastField || !input.ReadVarint32(&size) || at() + size != message_size) return std::nullopt;

  ReceivedPart received;
  const size_t fields_begin = at();
  size_t fields_end = fields_begin;
  for (uint32_t tag = input.ReadTag(); tag != kLastField; tag = input.ReadTag()) {
    if (tag == 0 || !WireFormatLite::SkipField(&input, tag)) return std::nullopt;
    fields_end = at();
  }
  if (!received.part.ParseFromArray(head + fields_begin, static_cast<int>(fields_end - fields_begin))) {
    return std::nullopt;
  }
  if (!input.ReadVarint32(&size) || at() + size != message_size) return std::nullopt;
  uint64_t checksum = 0;
  if (input.ReadTag() != kChecksum || !input.ReadLittleEndian64(&checksum)) return std::nullopt;
  if (input.ReadTag() != kLastField || !input.ReadVarint32(&size) || at() + size != message_size) return std::nullopt;
  received.part.mutable_payload()->set_checksum(checksum);
  received.payload_offset = at();
  received.payload_bytes = size;
  return received;
}

uint64_t CopyPayload(const std::vector<grpc::Slice>& slices, size_t offset, absl::Span<std::byte> destination) {
  std::byte* out = destination.data();
  for (const grpc::Slice& slice : slices) {
    if (offset >= slice.size()) {
      offset -= slice.size();
      continue;
    }
    std::memcpy(out, slice.begin() + offset, slice.size() - offset);
    out += slice.size() - offset;
    offset = 0;
  }
  return PartChecksum(destination);
}

grpc::ByteBuffer ToByteBuffer(const google::protobuf::MessageLite& message) {
  const std::string text = message.SerializeAsString();
  const grpc::Slice slice(text.data(), text.size());
  return grpc::ByteBuffer(&slice, 1);
}

bool FromSlices(const std::vector<grpc::Slice>& slices, google::protobuf::MessageLite* message) {
  std::string text;
  for (const grpc::Slice& slice : slices) text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return message->ParseFromString(text);
}

}  // namespace chunkkv::client
