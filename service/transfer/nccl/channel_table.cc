#include "service/transfer/nccl/channel_table.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/random.h"
#include "service/base/status_macros.h"
#include "service/transfer/nccl/channel_status.h"

namespace chunkkv {
namespace {

absl::Status Exhausted(const char* reason, const std::string& text) {
  return ErrorStatus(absl::StatusCode::kResourceExhausted, reason, text);
}

absl::Status ChannelNotFound() {
  return ErrorStatus(absl::StatusCode::kNotFound, "CHANNEL_NOT_FOUND", "channel_id: no such channel");
}

}  // namespace

absl::StatusOr<OpenedChannel> ChannelTable::Open(const ChannelRequest& request) {
  CHUNKKV_RETURN_IF_ERROR(CheckRequest(request));
  OpenedChannel opened;
  FillRandom(opened.id.data(), opened.id.size());
  {
    MutexLock lock(mutex_);
    RemoveEnded();
    CHUNKKV_RETURN_IF_ERROR(CheckCounts(request.tenant));
  }
  // Without the lock: NCCL looks for its network the first time.
  CHUNKKV_ASSIGN_OR_RETURN(opened.unique_id, library_.MakeUniqueId());
  MutexLock lock(mutex_);
  CHUNKKV_RETURN_IF_ERROR(CheckCounts(request.tenant));
  rows_[opened.id].channel =
      Channel::Open({opened.id, request.tenant, request.owner}, devices_.at(request.device), opened.unique_id);
  return opened;
}

absl::Status ChannelTable::CheckRequest(const ChannelRequest& request) const {
  if (!request.unique_id.empty() && request.unique_id.size() != NcclUniqueId().size()) {
    return InvalidArgument("BAD_UNIQUE_ID", absl::StrCat("nccl_unique_id: it has ", request.unique_id.size(),
                                                         " bytes, where unique ids have 128"));
  }
  if (!request.unique_id.empty()) {
    return InvalidArgument("BAD_UNIQUE_ID", "nccl_unique_id: the server makes it");
  }
  if (!devices_.contains(request.device)) {
    return InvalidArgument("BAD_DEVICE", absl::StrCat("device: the server has no GPU ", request.device));
  }
  if (request.nccl_version != library_.version()) {
    return FailedPrecondition("NCCL_VERSION", absl::StrCat("nccl_version: the client's NCCL is ", request.nccl_version,
                                                           ", the server's ", library_.version()));
  }
  return absl::OkStatus();
}

absl::Status ChannelTable::CheckCounts(const std::string& tenant) const {
  const auto of_tenant = std::count_if(
      rows_.begin(), rows_.end(), [&](const auto& row) { return row.second.channel->identity().tenant == tenant; });
  if (static_cast<int64_t>(rows_.size()) >= limits_.max_channels || of_tenant >= limits_.max_channels_of_tenant) {
    return Exhausted("TOO_MANY_CHANNELS", absl::StrCat("at most ", limits_.max_channels_of_tenant, " of a tenant and ",
                                                       limits_.max_channels, " of all"));
  }
  const auto never_joined = never_joined_.find(tenant);
  if (never_joined != never_joined_.end() && never_joined->second >= limits_.max_never_joined_of_tenant) {
    return Exhausted("CHANNELS_NEVER_JOINED",
                     absl::StrCat("the peers of ", never_joined->second, " channels of this tenant never came"));
  }
  return absl::OkStatus();
}

void ChannelTable::RemoveEnded() {
  for (auto at = rows_.begin(); at != rows_.end();) {
    const auto here = at++;
    const Channel& channel = *here->second.channel;
    if (!channel.has_ended()) continue;
    if (!channel.has_opened()) ++never_joined_[channel.identity().tenant];
    rows_.erase(here);
  }
}

absl::StatusOr<ChannelPtr> ChannelTable::Find(const std::string& tenant, const Bytes16& id) const {
  ChannelPtr channel;
  {
    MutexLock lock(mutex_);
    const auto found = rows_.find(id);
    if (found == rows_.end() || found->second.is_closed || found->second.channel->identity().tenant != tenant) {
      return ChannelNotFound();
    }
    channel = found->second.channel;
  }
  CHUNKKV_RETURN_IF_ERROR(channel->status());
  return channel;
}

absl::Status ChannelTable::Close(const std::string& tenant, const Bytes16& id) {
  ChannelPtr channel;
  {
    MutexLock lock(mutex_);
    const auto found = rows_.find(id);
    if (found == rows_.end() || found->second.is_closed || found->second.channel->identity().tenant != tenant) {
      return ChannelNotFound();
    }
    found->second.is_closed = true;
    channel = found->second.channel;
  }
  channel->Close();
  return absl::OkStatus();
}

void ChannelTable::Forget(ChannelOwner owner) {
  if (owner == kNoOwner) return;
  std::vector<ChannelPtr> channels;
  {
    MutexLock lock(mutex_);
    for (auto& [id, row] : rows_) {
      if (row.channel->identity().owner != owner) continue;
      row.is_closed = true;
      channels.push_back(row.channel);
    }
  }
  for (const ChannelPtr& channel : channels) channel->Abort(PeerLost("its connection has ended"));
}

int64_t ChannelTable::size() const {
  MutexLock lock(mutex_);
  return std::count_if(rows_.begin(), rows_.end(), [](const auto& row) { return !row.second.channel->has_ended(); });
}

}  // namespace chunkkv
