#include "service/transfer/nccl/channel_host.h"

#include "chunkkv/kernels/status.h"
#include "service/base/check.h"
#include "service/base/status_macros.h"

namespace chunkkv {

std::unique_ptr<ChannelHost> ChannelHost::Without(absl::Status why) {
  CHUNKKV_CHECK(!why.ok());
  std::unique_ptr<ChannelHost> host(new ChannelHost());
  host->status_ = std::move(why);
  return host;
}

absl::StatusOr<std::unique_ptr<ChannelHost>> ChannelHost::Open(ChannelGround ground, const ChannelOptions& options,
                                                               const Clock& clock) {
  std::unique_ptr<ChannelHost> host(new ChannelHost());
  host->device_ = ground.device;
  host->library_ = std::move(ground.library);
  CHUNKKV_ASSIGN_OR_RETURN(host->buffers_, ChannelBuffers::Open(std::move(ground.memory)));
  auto device =
      std::make_shared<ChannelDevice>(*host->library_, clock, options.timeouts, std::move(ground.make_stream));
  host->table_ = std::make_unique<ChannelTable>(*host->library_, ChannelTable::Devices{{ground.device, device}},
                                                options.limits);
  host->thread_ = std::make_unique<ChannelThread>(std::move(device));
  return host;
}

ChannelHost::~ChannelHost() = default;

absl::Status ChannelsDisabled() {
  return FailedPrecondition("CHANNELS_DISABLED", "this server has no NCCL channels: see its option --nccl");
}

}  // namespace chunkkv
