// The server's side of all channels.
#ifndef CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_HOST_H_
#define CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_HOST_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "chunkkv/kernels/device_memory.h"
#include "service/base/clock.h"
#include "service/transfer/nccl/channel_buffers.h"
#include "service/transfer/nccl/channel_owners.h"
#include "service/transfer/nccl/channel_table.h"
#include "service/transfer/nccl/channel_thread.h"
#include "service/transfer/nccl/channel_timeouts.h"
#include "service/transfer/nccl/nccl_library.h"

namespace chunkkv {

struct ChannelOptions {
  bool enabled = false;
  std::string library_path = "libnccl.so.2";
  ChannelLimits limits;
  ChannelTimeouts timeouts;
};

// What channels stand on: NCCL, and a device with memory and streams.
struct ChannelGround {
  std::unique_ptr<NcclLibrary> library;
  int device = 0;
  std::unique_ptr<DeviceMemory> memory;
  StreamMaker make_stream;
};

// Thread-safe. Must outlive what it has given out.
class ChannelHost {
 public:
  // Without channels; `why` is not OK.
  static std::unique_ptr<ChannelHost> Without(absl::Status why);
  // `clock` must outlive the host. Errors: as ChannelBuffers::Open.
  static absl::StatusOr<std::unique_ptr<ChannelHost>> Open(ChannelGround ground, const ChannelOptions& options,
                                                           const Clock& clock);
  ~ChannelHost();

  // Why there are no channels: FAILED_PRECONDITION CHANNELS_DISABLED, those of LoadNccl, ...
  const absl::Status& status() const { return status_; }

  // --- Where there are channels ---
  int nccl_version() const { return library_->version(); }
  int device() const { return device_; }
  ChannelTable& table() { return *table_; }
  ChannelOwners& owners() { return owners_; }
  ChannelBuffers& buffers() { return *buffers_; }

  // Channels of which anything is left.
  int64_t size() const { return table_ == nullptr ? 0 : table_->size(); }
  // That are on their way, or about to be.
  int64_t messages() const { return buffers_ == nullptr ? 0 : buffers_->in_use(); }
  // Ends every channel, and returns when nothing is left of them; none is opened any more.
  void Stop() { thread_ = nullptr; }

 private:
  ChannelHost() = default;

  absl::Status status_;
  int device_ = 0;
  std::unique_ptr<NcclLibrary> library_;
  std::unique_ptr<ChannelBuffers> buffers_;
  std::unique_ptr<ChannelTable> table_;
  ChannelOwners owners_;
  std::unique_ptr<ChannelThread> thread_;
};

// FAILED_PRECONDITION CHANNELS_DISABLED.
absl::Status ChannelsDisabled();

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_HOST_H_
