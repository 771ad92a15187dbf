#include "service/transfer/region/mapping_table.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/random.h"

namespace chunkkv {

absl::StatusOr<Bytes32> MappingTable::Lease(const Caller& caller, std::shared_ptr<const void> entry, int descriptor,
                                            std::optional<PeerId> peer) {
  Bytes32 token;
  FillRandom(token.data(), token.size());
  MutexLock lock(mutex_);
  if (static_cast<int64_t>(rows_.size()) >= max_leases_) {
    return ErrorStatus(absl::StatusCode::kResourceExhausted, "TOO_MANY_MAPPINGS",
                       absl::StrCat("at most ", max_leases_, " entries are mapped at once"));
  }
  rows_.emplace(token, Row{caller, std::move(entry), descriptor, clock_.MonotonicMs(), peer});
  return token;
}

absl::StatusOr<MappingTable::Fetched> MappingTable::Fetch(PeerId peer, const Bytes32& token) {
  MutexLock lock(mutex_);
  const auto found = rows_.find(token);
  if (found == rows_.end() || found->second.peer.has_value()) {
    return ErrorStatus(absl::StatusCode::kNotFound, "TOKEN_NOT_FOUND", "token: no such mapping");
  }
  found->second.peer = peer;
  return Fetched{found->second.entry, found->second.descriptor, found->second.caller};
}

template <typename Ends>
void MappingTable::RemoveIf(Ends ends) {
  std::vector<std::shared_ptr<const void>> ended;
  MutexLock lock(mutex_);
  for (auto at = rows_.begin(); at != rows_.end();) {
    const auto here = at++;
    if (!ends(here->second)) continue;
    ended.push_back(std::move(here->second.entry));
    rows_.erase(here);
  }
}

void MappingTable::Release(PeerId peer, const Bytes32& token) {
  Row ended;
  MutexLock lock(mutex_);
  const auto found = rows_.find(token);
  if (found == rows_.end() || found->second.peer.value_or(peer) != peer) return;
  ended = std::move(found->second);
  rows_.erase(found);
}

void MappingTable::Forget(PeerId peer) {
  RemoveIf([peer](const Row& row) { return row.peer == peer; });
}

void MappingTable::Expire() {
  const int64_t now_ms = clock_.MonotonicMs();
  RemoveIf([now_ms](const Row& row) { return !row.peer.has_value() && now_ms - row.leased_ms >= kFetchWithinMs; });
}

int64_t MappingTable::size() const {
  MutexLock lock(mutex_);
  return static_cast<int64_t>(rows_.size());
}

}  // namespace chunkkv
