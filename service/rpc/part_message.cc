#include "service/rpc/part_message.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "chunkkv/kernels/status.h"
#include "chunkkv/v1/get.pb.h"
#include "service/base/check.h"
#include "service/format/digest.h"

namespace chunkkv::rpc {
namespace {

using google::protobuf::internal::WireFormatLite;

constexpr int kPutPartField = v1::PutCacheRequest::kPartFieldNumber;
constexpr int kGetPartField = v1::GetCacheResponse::kPartFieldNumber;

// Reads a message that lies in several slices.
class SliceReader {
 public:
  explicit SliceReader(absl::Span<const grpc::Slice> slices) : slices_(slices) {
    for (const grpc::Slice& slice : slices) size_ += static_cast<int64_t>(slice.size());
  }

  int64_t offset() const { return offset_; }
  int64_t size() const { return size_; }

  // False past `end`, and for varints of more than ten bytes.
  bool ReadVarint(int64_t end, uint64_t* value) {
    *value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (offset_ >= end) return false;
      const uint8_t byte = NextByte();
      *value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return true;
    }
    return false;
  }

  // Appends the next `count` bytes to `text`, or skips them where it is null. They must be there.
  void Take(int64_t count, std::string* text) {
    while (count > 0) {
      const grpc::Slice& slice = slices_[index_];
      const int64_t here = std::min<int64_t>(count, static_cast<int64_t>(slice.size()) - within_);
      if (text != nullptr) text->append(reinterpret_cast<const char*>(slice.begin()) + within_, here);
      within_ += here;
      offset_ += here;
      count -= here;
      if (within_ == static_cast<int64_t>(slice.size())) {
        ++index_;
        within_ = 0;
      }
    }
  }

 private:
  uint8_t NextByte() {
    while (within_ == static_cast<int64_t>(slices_[index_].size())) {
      ++index_;
      within_ = 0;
    }
    ++offset_;
    return slices_[index_].begin()[within_++];
  }

  const absl::Span<const grpc::Slice> slices_;
  size_t index_ = 0;
  int64_t within_ = 0;
  int64_t offset_ = 0;
  int64_t size_ = 0;
};

void AppendVarint(uint64_t value, std::string* text) {
  while (value >= 0x80) {
    text->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  text->push_back(static_cast<char>(value));
}

// Takes the bytes of a message up to `end` apart: the length-delimited field `number` goes to `nested(begin, end)`,
// which must read exactly those bytes; everything else is appended to `rest`. False where the encoding is broken.
template <typename Nested>
bool Walk(SliceReader& reader, int64_t end, int number, std::string* rest, Nested nested) {
  while (reader.offset() < end) {
    uint64_t tag;
    if (!reader.ReadVarint(end, &tag) || tag > UINT32_MAX) return false;
    const auto type = WireFormatLite::GetTagWireType(static_cast<uint32_t>(tag));
    const int field = WireFormatLite::GetTagFieldNumber(static_cast<uint32_t>(tag));
    uint64_t length = 0;
    switch (type) {
      case WireFormatLite::WIRETYPE_LENGTH_DELIMITED:
        if (!reader.ReadVarint(end, &length)) return false;
        if (length > static_cast<uint64_t>(end - reader.offset())) return false;
        if (field == number) {
          if (!nested(reader.offset() + static_cast<int64_t>(length))) return false;
          continue;
        }
        AppendVarint(tag, rest);
        AppendVarint(length, rest);
        break;
      case WireFormatLite::WIRETYPE_VARINT: {
        uint64_t value;
        if (!reader.ReadVarint(end, &value)) return false;
        AppendVarint(tag, rest);
        AppendVarint(value, rest);
        continue;
      }
      case WireFormatLite::WIRETYPE_FIXED64:
        length = 8;
        AppendVarint(tag, rest);
        break;
      case WireFormatLite::WIRETYPE_FIXED32:
        length = 4;
        AppendVarint(tag, rest);
        break;
      default:
        return false;  // groups: no proto3 encoder writes them
    }
    if (length > static_cast<uint64_t>(end - reader.offset())) return false;
    reader.Take(static_cast<int64_t>(length), rest);
  }
  return reader.offset() == end;
}

}  // namespace

absl::StatusOr<PutMessage> ParsePutMessage(const grpc::ByteBuffer& buffer) {
  const absl::Status malformed = InvalidArgument("MALFORMED_MESSAGE", "the message is no PutCacheRequest");
  PutMessage message;
  if (!buffer.Valid() || !buffer.Dump(&message.slices).ok()) return malformed;
  SliceReader reader(message.slices);
  std::string outer;    // of PutCacheRequest, without its part
  std::string middle;   // of the part, without its payload
  std::string payload;  // of the payload, without its inline bytes
  std::optional<MessageRange> inline_bytes;
  bool has_part = false;
  const auto take_inline = [&](int64_t end) {
    inline_bytes = MessageRange{reader.offset(), end - reader.offset()};
    reader.Take(inline_bytes->size_bytes, nullptr);
    return true;
  };
  bool has_payload = false;
  const auto take_payload = [&](int64_t end) {
    has_payload = true;
    return Walk(reader, end, v1::TensorPayload::kInlineFieldNumber, &payload, take_inline);
  };
  const auto take_part = [&](int64_t end) {
    has_part = true;
    return Walk(reader, end, v1::Part::kPayloadFieldNumber, &middle, take_payload);
  };
  if (!Walk(reader, reader.size(), kPutPartField, &outer, take_part)) return malformed;
  if (!message.other.ParseFromString(outer)) return malformed;
  if (!has_part) return message;
  // One message of the oneof at a time: an encoder that writes two is not right.
  if (message.other.message_case() != v1::PutCacheRequest::MESSAGE_NOT_SET) return malformed;
  message.part.emplace();
  if (!message.part->part.ParseFromString(middle)) return malformed;
  if (has_payload && !message.part->part.mutable_payload()->ParseFromString(payload)) return malformed;
  message.part->inline_bytes = inline_bytes;
  return message;
}

uint64_t CopyToPieces(absl::Span<const grpc::Slice> slices, const MessageRange& range,
                      absl::Span<const absl::Span<std::byte>> pieces) {
  PartDigester digester;
  int64_t skip = range.offset;
  int64_t left = range.size_bytes;
  size_t piece = 0;
  size_t within = 0;
  for (const grpc::Slice& slice : slices) {
    if (left == 0) break;
    const auto size = static_cast<int64_t>(slice.size());
    if (skip >= size) {
      skip -= size;
      continue;
    }
    const auto* from = reinterpret_cast<const std::byte*>(slice.begin()) + skip;
    auto count = static_cast<size_t>(std::min(size - skip, left));
    skip = 0;
    left -= static_cast<int64_t>(count);
    digester.Update({from, count});
    while (count > 0) {
      while (within == pieces[piece].size()) {
        ++piece;
        within = 0;
        CHUNKKV_CHECK(piece < pieces.size());
      }
      const size_t here = std::min(count, pieces[piece].size() - within);
      std::memcpy(pieces[piece].data() + within, from, here);
      from += here;
      within += here;
      count -= here;
    }
  }
  CHUNKKV_CHECK(left == 0);
  return digester.Finish();
}

grpc::ByteBuffer MakePartResponse(const v1::Part& part, uint64_t checksum, grpc::Slice bytes) {
  using google::protobuf::io::CodedOutputStream;
  const auto tag = [](int number, WireFormatLite::WireType type) { return WireFormatLite::MakeTag(number, type); };
  const auto nested_bytes = [](uint64_t length) { return 1 + CodedOutputStream::VarintSize64(length) + length; };
  const std::string fields = part.SerializeAsString();
  // Every tag here is one byte: field numbers below 16.
  const uint64_t payload_bytes = 1 + 8 + nested_bytes(bytes.size());
  const uint64_t part_bytes = fields.size() + nested_bytes(payload_bytes);
  std::string head;
  head.reserve(fields.size() + 48);
  AppendVarint(tag(kGetPartField, WireFormatLite::WIRETYPE_LENGTH_DELIMITED), &head);
  AppendVarint(part_bytes, &head);
  head += fields;
  AppendVarint(tag(v1::Part::kPayloadFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED), &head);
  AppendVarint(payload_bytes, &head);
  AppendVarint(tag(v1::TensorPayload::kChecksumFieldNumber, WireFormatLite::WIRETYPE_FIXED64), &head);
  for (int shift = 0; shift < 64; shift += 8) head.push_back(static_cast<char>(checksum >> shift));
  AppendVarint(tag(v1::TensorPayload::kInlineFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED), &head);
  AppendVarint(bytes.size(), &head);
  const grpc::Slice slices[] = {grpc::Slice(head), std::move(bytes)};
  return grpc::ByteBuffer(slices, 2);
}

}  // namespace chunkkv::rpc
