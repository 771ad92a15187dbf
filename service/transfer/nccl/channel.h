// A channel as those see it who put on it and get from it: from any thread, whatever becomes of the communicator.
#ifndef CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_H_
#define CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_H_

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "service/base/mutex.h"
#include "service/format/bytes.h"
#include "service/transfer/nccl/channel_device.h"
#include "service/transfer/nccl/channel_transfer.h"

namespace chunkkv {

// Whoever's end is a channel's end too: a client's connection. Never used again.
using ChannelOwner = uint64_t;
constexpr ChannelOwner kNoOwner = 0;

// Thread-safe. What it is asked for is done in that order.
class Channel : public std::enable_shared_from_this<Channel> {
 public:
  struct Identity {
    Bytes16 id{};
    std::string tenant;
    ChannelOwner owner = kNoOwner;
  };

  // Begins to open.
  static std::shared_ptr<Channel> Open(Identity identity, std::shared_ptr<ChannelDevice> device,
                                       const NcclUniqueId& unique_id);

  const Identity& identity() const { return identity_; }

  // Transfers whose peers are ready start in the order they were asked for; before the channel is open they wait.
  // Requires size_bytes > 0, memory and done.
  ChannelTransferId Start(ChannelTransfer transfer);
  // No effect on a transfer that has ended.
  void SetPeerReady(ChannelTransferId transfer);
  // Ends it CANCELLED. That of a transfer in flight aborts the channel, for NCCL cannot take back what it was asked
  // for: all its other transfers end UNAVAILABLE CHANNEL_CLOSED.
  void Cancel(ChannelTransferId transfer);

  // Ends in order: what is in flight may finish.
  void Close();
  // Ends at once: `why`, not OK, is what its transfers get.
  void Abort(const absl::Status& why);

  // OK while it is opening or open; then why no longer.
  absl::Status status() const;
  bool has_opened() const;
  // Nothing is left of the communicator.
  bool has_ended() const;

 private:
  Channel(Identity identity, std::shared_ptr<ChannelDevice> device)
      : identity_(std::move(identity)), device_(std::move(device)) {}

  const Identity identity_;
  const std::shared_ptr<ChannelDevice> device_;
  ChannelDevice::MachineId machine_ = 0;
  std::atomic<ChannelTransferId> last_transfer_{0};
  mutable Mutex mutex_;
  ChannelDevice::News news_ ABSL_GUARDED_BY(mutex_);
};
using ChannelPtr = std::shared_ptr<Channel>;

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_H_
