// The messages that carry tensors, taken apart and put together without a copy of the tensors' bytes.
//
// The bytes of a part lie inside three nested fields: PutCacheRequest.part.payload.inline, and the same of
// GetCacheResponse. A received message is walked slice by slice to find them; only what stands around them is decoded.
#ifndef CHUNKKV_SERVICE_RPC_PART_MESSAGE_H_
#define CHUNKKV_SERVICE_RPC_PART_MESSAGE_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "chunkkv/v1/payload.pb.h"
#include "chunkkv/v1/put.pb.h"

namespace chunkkv::rpc {

// Bytes within a message, counted from its start.
struct MessageRange {
  int64_t offset = 0;
  int64_t size_bytes = 0;
};

struct PartMessage {
  v1::Part part;  // without inline bytes
  std::optional<MessageRange> inline_bytes;
};

// A PutCacheRequest as it arrived: a part, or any other message. The slices are those of the transport.
struct PutMessage {
  std::vector<grpc::Slice> slices;
  std::optional<PartMessage> part;
  v1::PutCacheRequest other;  // where there is no part
};

// Fields may stand in any order, as in any protobuf message. Errors: INVALID_ARGUMENT (MALFORMED_MESSAGE).
absl::StatusOr<PutMessage> ParsePutMessage(const grpc::ByteBuffer& buffer);

// Copies `range` of the message, slice by slice, to `pieces` in order (they hold as many bytes together); returns the
// XXH3-64 of what was copied, computed while each piece is in the cache.
uint64_t CopyToPieces(absl::Span<const grpc::Slice> slices, const MessageRange& range,
                      absl::Span<const absl::Span<std::byte>> pieces);

// GetCacheResponse{part{..., payload{checksum, inline = bytes}}} of two slices, the second being `bytes` itself.
grpc::ByteBuffer MakePartResponse(const v1::Part& part, uint64_t checksum, grpc::Slice bytes);

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_PART_MESSAGE_H_
