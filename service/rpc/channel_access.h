#ifndef CHUNKKV_SERVICE_RPC_CHANNEL_ACCESS_H_
#define CHUNKKV_SERVICE_RPC_CHANNEL_ACCESS_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "service/base/gate.h"
#include "service/format/bytes.h"
#include "service/rpc/idle_timer.h"
#include "service/transfer/nccl/channel.h"
#include "service/transfer/nccl/channel_buffers.h"
#include "service/transfer/nccl/channel_host.h"
#include "service/transfer/nccl/transfer_group.h"
#include "service/transfer/region/transfer_table.h"

namespace chunkkv::rpc {

// What a message holds while it is under way; let go from the last to the first.
struct ChannelHold {
  IdlePause pause;  // of the put or get: channels have limits of their own
  Gate::Pass pass;
  ChannelBuffer buffer;

  // All but the pause: the message has ended like this.
  void LetGo(const absl::Status& status);
};

// One put's or get's way to one channel.
struct ChannelAccess {
  ChannelPtr channel;
  ChannelBuffers* buffers = nullptr;
  std::shared_ptr<TransferGroup> group;
  TransferPtr transfer;  // null: the client has not named one

  // Errors: those of ChannelHost::status and ChannelTable::Find.
  static absl::StatusOr<ChannelAccess> To(ChannelHost& channels, const std::string& tenant, const Bytes16& channel_id,
                                          std::shared_ptr<TransferGroup> group, TransferPtr transfer);

  const Bytes16& id() const { return channel->identity().id; }
  // Empty, and `free`: as ChannelBuffers::Take. Errors: its, and CANCELLED TRANSFER_QUIESCED.
  absl::StatusOr<std::optional<ChannelHold>> Hold(IdleTimer& idle, std::function<void()> free) const;
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_CHANNEL_ACCESS_H_
