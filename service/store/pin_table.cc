#include "service/store/pin_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/random.h"

namespace chunkkv {

absl::Status PinTable::CheckRoom(const std::string& tenant) const {
  const auto refusal = [](const char* owner, int64_t limit) {
    return ErrorStatus(absl::StatusCode::kResourceExhausted, "TOO_MANY_PINS",
                       absl::StrCat(owner, " has ", limit, " leases, its limit"));
  };
  if (of_tenants_.total() >= of_tenants_.limit()) return refusal("the server", of_tenants_.limit());
  const int64_t part = of_tenants_.LimitOf(tenant);
  return of_tenants_.Of(tenant) < part ? absl::OkStatus() : refusal("the tenant", part);
}

Lease PinTable::Add(const std::string& tenant, std::vector<Bytes16> entry_ids, int64_t duration_ms,
                    const Clock& clock) {
  Lease lease;
  FillRandom(lease.id.data(), lease.id.size());
  lease.expires_unix_ms = clock.UnixMs() + duration_ms;
  const int64_t end = clock.MonotonicMs() + duration_ms;
  std::sort(entry_ids.begin(), entry_ids.end());
  entry_ids.erase(std::unique(entry_ids.begin(), entry_ids.end()), entry_ids.end());
  entry_ids.shrink_to_fit();
  for (const Bytes16& entry_id : entry_ids) by_entry_[entry_id].emplace(end, lease.id);
  by_end_.emplace(end, lease.id);
  of_tenants_.Add(tenant);
  leases_[lease.id] = Holding{tenant, std::move(entry_ids), end, lease.expires_unix_ms};
  return lease;
}

std::optional<std::vector<Bytes16>> PinTable::Remove(const std::string& tenant, const Bytes16& lease_id) {
  const auto found = leases_.find(lease_id);
  if (found == leases_.end() || found->second.tenant != tenant) return std::nullopt;
  std::vector<Bytes16> unpinned;
  End(lease_id, &unpinned);
  return unpinned;
}

std::vector<Bytes16> PinTable::EndExpired(int64_t monotonic_ms) {
  std::vector<Bytes16> unpinned;
  while (!by_end_.empty() && by_end_.begin()->first <= monotonic_ms) End(Bytes16(by_end_.begin()->second), &unpinned);
  return unpinned;
}

void PinTable::ForgetEntry(const Bytes16& entry_id) {
  const auto found = by_entry_.find(entry_id);
  if (found == by_entry_.end()) return;
  const Order lease_ids = std::move(found->second);
  by_entry_.erase(found);
  for (const auto& [end, lease_id] : lease_ids) {
    const auto lease = leases_.find(lease_id);
    std::erase(lease->second.entry_ids, entry_id);
    if (lease->second.entry_ids.empty()) Erase(lease);
  }
}

int64_t PinTable::held_count() const {
  int64_t count = 0;
  for (const auto& [id, holding] : leases_) count += static_cast<int64_t>(holding.entry_ids.size());
  return count;
}

int64_t PinTable::PinnedUntilUnixMs(const Bytes16& entry_id) const {
  const auto found = by_entry_.find(entry_id);
  if (found == by_entry_.end()) return 0;
  return leases_.find(found->second.rbegin()->second)->second.expires_unix_ms;
}

void PinTable::End(const Bytes16& lease_id, std::vector<Bytes16>* unpinned) {
  const auto found = leases_.find(lease_id);
  const int64_t end = found->second.expires_monotonic_ms;
  for (const Bytes16& entry_id : found->second.entry_ids) {
    const auto order = by_entry_.find(entry_id);
    order->second.erase({end, lease_id});
    if (order->second.empty()) {
      by_entry_.erase(order);
      unpinned->push_back(entry_id);
    }
  }
  Erase(found);
}

void PinTable::Erase(Leases::iterator lease) {
  by_end_.erase({lease->second.expires_monotonic_ms, lease->first});
  of_tenants_.Remove(lease->second.tenant);
  leases_.erase(lease);
}

}  // namespace chunkkv
