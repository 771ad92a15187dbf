#include "service/transfer/nccl/transfer_group.h"

#include <utility>
#include <vector>

namespace chunkkv {

void TransferGroup::Start(const ChannelPtr& channel, ChannelTransfer transfer) {
  uint64_t number;
  {
    MutexLock lock(mutex_);
    number = ++last_;
    under_way_[number].channel = channel;
  }
  transfer.done = [group = shared_from_this(), number, done = std::move(transfer.done)](const absl::Status& status) {
    {
      MutexLock lock(group->mutex_);
      group->under_way_.erase(number);
    }
    done(status);
  };
  const ChannelTransferId id = channel->Start(std::move(transfer));
  bool is_cancelled;
  {
    MutexLock lock(mutex_);
    is_cancelled = is_cancelled_;
    if (const auto found = under_way_.find(number); found != under_way_.end()) found->second.id = id;
  }
  if (is_cancelled) channel->Cancel(id);
}

void TransferGroup::CancelAll() {
  std::vector<Started> started;
  {
    MutexLock lock(mutex_);
    is_cancelled_ = true;
    for (const auto& [number, one] : under_way_) {
      if (one.id != 0) started.push_back(one);
    }
  }
  for (const Started& one : started) one.channel->Cancel(one.id);
}

}  // namespace chunkkv
