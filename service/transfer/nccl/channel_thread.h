#ifndef CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_THREAD_H_
#define CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_THREAD_H_

#include <memory>
#include <thread>

#include "service/transfer/nccl/channel_device.h"

namespace chunkkv {

// The issuing thread of a device.
class ChannelThread {
 public:
  explicit ChannelThread(std::shared_ptr<ChannelDevice> device);
  // Aborts every channel, and waits until the device has come to the end of them, within ChannelTimeouts::abort_ms.
  ~ChannelThread();
  ChannelThread(const ChannelThread&) = delete;
  ChannelThread& operator=(const ChannelThread&) = delete;

 private:
  const std::shared_ptr<ChannelDevice> device_;
  bool is_stopping_ = false;  // of the thread
  std::thread thread_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_THREAD_H_
