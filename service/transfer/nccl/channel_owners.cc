#include "service/transfer/nccl/channel_owners.h"

#include "chunkkv/kernels/status.h"
#include "service/base/random.h"

namespace chunkkv {

ChannelOwners::Named ChannelOwners::Add(const std::string& tenant) {
  Named named;
  FillRandom(named.id.data(), named.id.size());
  MutexLock lock(mutex_);
  named.owner = ++last_;
  rows_.emplace(named.id, Row{tenant, named.owner});
  return named;
}

absl::StatusOr<ChannelOwner> ChannelOwners::Find(const std::string& tenant, const Bytes16& id) const {
  MutexLock lock(mutex_);
  const auto found = rows_.find(id);
  if (found == rows_.end() || found->second.tenant != tenant) {
    return ErrorStatus(absl::StatusCode::kNotFound, "OWNER_NOT_FOUND",
                       "owner_id: no HoldChannels in progress has said it");
  }
  return found->second.owner;
}

void ChannelOwners::Remove(const Bytes16& id) {
  MutexLock lock(mutex_);
  rows_.erase(id);
}

}  // namespace chunkkv
