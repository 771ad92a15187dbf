#include "service/transfer/nccl/channel.h"

#include <utility>

#include "service/base/check.h"
#include "service/transfer/nccl/channel_status.h"

namespace chunkkv {

ChannelPtr Channel::Open(Identity identity, std::shared_ptr<ChannelDevice> device, const NcclUniqueId& unique_id) {
  ChannelPtr channel(new Channel(std::move(identity), std::move(device)));
  channel->machine_ =
      channel->device_->Open(unique_id, [weak = std::weak_ptr(channel)](const ChannelDevice::News& news) {
        const ChannelPtr channel = weak.lock();
        if (channel == nullptr) return;
        MutexLock lock(channel->mutex_);
        channel->news_ = news;
      });
  return channel;
}

ChannelTransferId Channel::Start(ChannelTransfer transfer) {
  CHUNKKV_CHECK(transfer.size_bytes > 0 && transfer.memory != nullptr && transfer.done);
  const ChannelTransferId id = ++last_transfer_;
  device_->Post(machine_, [channel = shared_from_this(), id, transfer = std::move(transfer)](ChannelMachine* machine) {
    if (machine != nullptr) return machine->Add(id, transfer);
    const absl::Status status = channel->status();
    transfer.done(status.ok() ? ChannelClosed("the server ends") : status);
  });
  return id;
}

void Channel::SetPeerReady(ChannelTransferId transfer) {
  device_->Post(machine_, [transfer](ChannelMachine* machine) {
    if (machine != nullptr) machine->SetPeerReady(transfer);
  });
}

void Channel::Cancel(ChannelTransferId transfer) {
  device_->Post(machine_, [transfer](ChannelMachine* machine) {
    if (machine != nullptr) machine->Cancel(transfer);
  });
}

void Channel::Close() {
  device_->Post(machine_, [](ChannelMachine* machine) {
    if (machine != nullptr) machine->Close(ChannelClosed("its client closed it"));
  });
}

void Channel::Abort(const absl::Status& why) {
  device_->Post(machine_, [why](ChannelMachine* machine) {
    if (machine != nullptr) machine->Abort(why);
  });
}

absl::Status Channel::status() const {
  MutexLock lock(mutex_);
  return news_.status;
}

bool Channel::has_opened() const {
  MutexLock lock(mutex_);
  return news_.has_opened;
}

bool Channel::has_ended() const {
  MutexLock lock(mutex_);
  return news_.has_ended;
}

}  // namespace chunkkv
