#include "service/rpc/channel_access.h"

#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"

namespace chunkkv::rpc {

void ChannelHold::LetGo(const absl::Status& status) {
  if (StatusReason(status) == "DEVICE_STUCK") buffer.Abandon();
  buffer = ChannelBuffer();
  pass = Gate::Pass();
}

absl::StatusOr<ChannelAccess> ChannelAccess::To(ChannelHost& channels, const std::string& tenant,
                                                const Bytes16& channel_id, std::shared_ptr<TransferGroup> group,
                                                TransferPtr transfer) {
  CHUNKKV_RETURN_IF_ERROR(channels.status());
  ChannelAccess access;
  CHUNKKV_ASSIGN_OR_RETURN(access.channel, channels.table().Find(tenant, channel_id));
  access.buffers = &channels.buffers();
  access.group = std::move(group);
  access.transfer = std::move(transfer);
  return access;
}

absl::StatusOr<std::optional<ChannelHold>> ChannelAccess::Hold(IdleTimer& idle, std::function<void()> free) const {
  ChannelHold hold;
  hold.pause = IdlePause(idle);
  if (transfer != nullptr) {
    hold.pass = transfer->gate().Enter();
    if (!hold.pass) {
      return ErrorStatus(absl::StatusCode::kCancelled, "TRANSFER_QUIESCED", "the client has quiesced this transfer");
    }
  }
  CHUNKKV_ASSIGN_OR_RETURN(std::optional<ChannelBuffer> buffer, buffers->Take(id(), std::move(free)));
  if (!buffer) return std::nullopt;
  hold.buffer = *std::move(buffer);
  return hold;
}

}  // namespace chunkkv::rpc
