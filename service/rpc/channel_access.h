#ifndef CHUNKKV_SERVICE_RPC_CHANNEL_ACCESS_H_
#define CHUNKKV_SERVICE_RPC_CHANNEL_ACCESS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "chunkkv/kernels/status.h"
#include "service/base/gate.h"
#include "service/transfer/nccl/channel.h"
#include "service/transfer/nccl/channel_buffers.h"
#include "service/transfer/nccl/transfer_group.h"
#include "service/transfer/region/transfer_table.h"

namespace chunkkv::rpc {

// One put's or get's way to one channel.
struct ChannelAccess {
  ChannelPtr channel;
  ChannelBuffers* buffers = nullptr;
  std::shared_ptr<TransferGroup> group;
  TransferPtr transfer;  // null: the client has not named one

  const Bytes16& id() const { return channel->identity().id; }
  // To be held for as long as a message is under way; of nothing where there is no transfer.
  // Errors: CANCELLED TRANSFER_QUIESCED.
  absl::StatusOr<Gate::Pass> Enter() const {
    if (transfer == nullptr) return Gate::Pass();
    Gate::Pass pass = transfer->gate().Enter();
    if (pass) return pass;
    return ErrorStatus(absl::StatusCode::kCancelled, "TRANSFER_QUIESCED", "the client has quiesced this transfer");
  }
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_CHANNEL_ACCESS_H_
