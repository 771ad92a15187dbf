#include "service/transfer/nccl/channel_thread.h"

#include <optional>
#include <utility>

namespace chunkkv {

ChannelThread::ChannelThread(std::shared_ptr<ChannelDevice> device) : device_(std::move(device)) {
  thread_ = std::thread([this] {
    std::optional<ChannelDevice::Pace> pace;
    while (!is_stopping_ || pace.has_value()) {
      device_->Wait(pace);
      pace = device_->RunOnce();
    }
    device_->Finish();
  });
}

ChannelThread::~ChannelThread() {
  device_->Shutdown();
  device_->Post(0, [this](ChannelMachine*) { is_stopping_ = true; });
  thread_.join();
}

}  // namespace chunkkv
