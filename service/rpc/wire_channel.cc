#include "service/rpc/wire_channel.h"

#include "chunkkv/kernels/status.h"
#include "service/rpc/wire_bytes.h"

namespace chunkkv::rpc {

absl::StatusOr<Bytes16> ChannelIdFromWire(const std::string& channel_id) {
  return FixedFromWire<16>(channel_id, "BAD_CHANNEL_ID", "channel_id");
}

absl::StatusOr<Bytes16> ChannelOfPart(const v1::NcclTransfer& transfer) {
  if (transfer.sequence() != 0) {
    return InvalidArgument("BAD_SEQUENCE", "part.payload.nccl.sequence: the server says it, in Ready");
  }
  return ChannelIdFromWire(transfer.channel_id());
}

void ToWire(const Bytes16& channel_id, int64_t sequence, int64_t length_bytes, v1::NcclTransfer* transfer) {
  transfer->set_channel_id(ToString(channel_id));
  transfer->set_sequence(sequence);
  transfer->set_length_bytes(length_bytes);
}

}  // namespace chunkkv::rpc
