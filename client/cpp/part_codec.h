// Parts on the wire by hand: sent from the caller's memory and received into place without a copy in between.
//
// A part is the last field of its message and its bytes the last of the part (payload.proto), so a message is a short
// head followed by the bytes.
#ifndef CHUNKKV_CLIENT_CPP_PART_CODEC_H_
#define CHUNKKV_CLIENT_CPP_PART_CODEC_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "chunkkv/v1/payload.pb.h"

namespace chunkkv::client {

// Head of a PutCacheRequest or GetCacheResponse that holds `part` (without payload) and `payload_bytes` inline bytes.
std::string EncodePartHead(const v1::Part& part, uint64_t checksum, size_t payload_bytes);

// A received part: what stands before its bytes, and where they begin within the message.
struct ReceivedPart {
  v1::Part part;  // without inline bytes
  size_t payload_offset = 0;
  size_t payload_bytes = 0;
};

// Empty where the message is no part of the usual form; a plain parse must decide then.
std::optional<ReceivedPart> DecodePartHead(const std::vector<grpc::Slice>& slices);

// Copies the last `destination.size()` bytes of the message, from `offset` on, and returns their XXH3-64.
uint64_t CopyPayload(const std::vector<grpc::Slice>& slices, size_t offset, absl::Span<std::byte> destination);

grpc::ByteBuffer ToByteBuffer(const google::protobuf::MessageLite& message);
bool FromSlices(const std::vector<grpc::Slice>& slices, google::protobuf::MessageLite* message);

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_CPP_PART_CODEC_H_
