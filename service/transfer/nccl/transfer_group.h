#ifndef CHUNKKV_SERVICE_TRANSFER_NCCL_TRANSFER_GROUP_H_
#define CHUNKKV_SERVICE_TRANSFER_NCCL_TRANSFER_GROUP_H_

#include <cstdint>
#include <map>
#include <memory>

#include "service/base/mutex.h"
#include "service/transfer/nccl/channel.h"

namespace chunkkv {

// The transfers of one put or get, on any channels, which end with it. Thread-safe.
class TransferGroup : public std::enable_shared_from_this<TransferGroup> {
 public:
  // As Channel::Start.
  void Start(const ChannelPtr& channel, ChannelTransfer transfer);
  // Those that start later, too.
  void CancelAll();

 private:
  struct Started {
    ChannelPtr channel;
    ChannelTransferId id = 0;  // 0: not known yet
  };

  Mutex mutex_;
  std::map<uint64_t, Started> under_way_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_ ABSL_GUARDED_BY(mutex_) = 0;
  bool is_cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_NCCL_TRANSFER_GROUP_H_
