// A get whose bytes go over a channel: part after part is sent, and said to be.
#ifndef CHUNKKV_SERVICE_RPC_CHANNEL_SENDER_H_
#define CHUNKKV_SERVICE_RPC_CHANNEL_SENDER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "chunkkv/kernels/compactor.h"
#include "service/memory/budget.h"
#include "service/rpc/channel_access.h"
#include "service/rpc/idle_timer.h"
#include "service/rpc/message_source.h"
#include "service/rpc/part_cutter.h"
#include "service/rpc/send_queue.h"
#include "service/rpc/wire_entry.h"
#include "service/store/entry.h"
#include "service/store/entry_store.h"
#include "service/transfer/served_layer.h"

namespace chunkkv::rpc {

// Each part is copied to the device, and its message follows when NCCL has been asked for it; as many are under way as
// the channel has buffers.
class ChannelSender final : public MessageSource {
 public:
  // Reserves the scratch for one layer's re-rotated keys. `idle` is paused while parts are under way, which have limits
  // of their own. Errors: RESOURCE_EXHAUSTED.
  static absl::StatusOr<std::unique_ptr<ChannelSender>> Create(EntryPtr entry, const ServedRange& range,
                                                               int64_t max_part_bytes, ChannelAccess access,
                                                               std::shared_ptr<IdleTimer> idle, EntryStore& store,
                                                               const Compactor& compactor);

  // kLater: a part must be asked for, or done, or a buffer come back. Errors beside DATA_LOSS: as ChannelTransfer,
  // CANCELLED TRANSFER_QUIESCED, and those of ChannelBuffers.
  absl::StatusOr<State> Next(std::function<void()> resume, grpc::ByteBuffer* message) override;
  int64_t sent_bytes() const override { return sent_bytes_; }
  void Cancel() override;

 private:
  ChannelSender(EntryPtr entry, const ServedRange& range, int64_t max_part_bytes, ChannelAccess access,
                std::shared_ptr<IdleTimer> idle, const Compactor& compactor)
      : entry_(std::move(entry)),
        range_(range),
        max_part_bytes_(max_part_bytes),
        access_(std::move(access)),
        idle_(std::move(idle)),
        compactor_(compactor) {}
  // False where nothing can start now.
  absl::StatusOr<bool> StartNext();
  absl::Status Start(const PartCutter::Cut& cut, ChannelHold hold);

  const EntryPtr entry_;
  const ServedRange range_;
  const int64_t max_part_bytes_;
  const ChannelAccess access_;
  const std::shared_ptr<IdleTimer> idle_;
  const Compactor& compactor_;
  const std::shared_ptr<SendQueue> queue_ = std::make_shared<SendQueue>();
  BudgetShare scratch_;     // of one layer's re-rotated keys
  int32_t next_layer_ = 0;  // within the range
  std::optional<ServedLayer> layer_;
  std::optional<PartCutter> cutter_;        // of the layer
  std::optional<PartCutter::Cut> next_cut_;  // not yet started
  int64_t sent_bytes_ = 0;
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_CHANNEL_SENDER_H_
