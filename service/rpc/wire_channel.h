// Channels and messages on them, from the wire and to it.
#ifndef CHUNKKV_SERVICE_RPC_WIRE_CHANNEL_H_
#define CHUNKKV_SERVICE_RPC_WIRE_CHANNEL_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "chunkkv/v1/payload.pb.h"
#include "service/format/bytes.h"

namespace chunkkv::rpc {

// Errors: INVALID_ARGUMENT BAD_CHANNEL_ID.
absl::StatusOr<Bytes16> ChannelIdFromWire(const std::string& channel_id);

// The channel of a put's part. Errors: INVALID_ARGUMENT: BAD_CHANNEL_ID, BAD_SEQUENCE (one of the client's own).
absl::StatusOr<Bytes16> ChannelOfPart(const v1::NcclTransfer& transfer);

void ToWire(const Bytes16& channel_id, int64_t sequence, int64_t length_bytes, v1::NcclTransfer* transfer);

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_WIRE_CHANNEL_H_
