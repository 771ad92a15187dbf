// Making room in host memory, and within a tenant's quota.
#include <limits>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/store/entry_store_impl.h"

namespace chunkkv {

absl::StatusOr<BudgetShare> EntryStore::Impl::MakeRoom(int64_t bytes, Eviction eviction) {
  while (true) {
    BudgetShare share;
    if (host_budget_.TryReserve(bytes, &share)) return share;
    Aftermath after(watchers_);
    MutexLock lock(mutex_);
    Expire(after);
    // What has expired may be enough; it is free once unmapped, after this round.
    if (!after.removed.empty()) continue;
    const int64_t missing_bytes = bytes - (host_budget_.limit_bytes() - host_budget_.used_bytes());
    if (missing_bytes <= 0) continue;
    const Victims victims = ChooseVictims(missing_bytes, eviction);
    if (victims.empty()) {
      return ErrorStatus(absl::StatusCode::kResourceExhausted, "BUDGET",
                         absl::StrCat("needs ", bytes, " bytes; the rest is pinned, being read or being put"));
    }
    EvictFromHost(victims.in_host, after);
    for (const Bytes16& victim : victims.on_device) Remove(victim, RemovalReason::kEvicted, after);
  }
}

void EntryStore::Impl::EvictFromHost(absl::Span<const Bytes16> entry_ids, Aftermath& after) {
  for (const Bytes16& entry_id : entry_ids) {
    if (device_.Has(entry_id)) {
      ++evictions_;
      DropFromHost(*index_.Find(entry_id), after);
    } else {
      Remove(entry_id, RemovalReason::kEvicted, after);
    }
  }
}

absl::Status EntryStore::Impl::MakeRoomInQuota(Tenant& tenant, const TenantQuota& quota, int64_t charged_bytes,
                                               Aftermath& after) {
  constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();
  int64_t missing_bytes =
      host_.charged_bytes_of(&tenant) - (quota.host_bytes.value_or(kNoLimit) - charged_bytes);
  int64_t missing_entries = tenant.counters.entries - (quota.entries.value_or(kNoLimit) - 1);
  std::vector<Bytes16> removed;  // entries that go wholly
  std::vector<Bytes16> dropped;  // whose bytes leave host memory
  host_.VisitVictimsOf(&tenant, [&](const Bytes16& entry_id, int64_t victim_bytes) {
    if (missing_entries <= 0 && missing_bytes <= 0) return false;
    (missing_entries > 0 ? removed : dropped).push_back(entry_id);
    --missing_entries;
    missing_bytes -= victim_bytes;
    return true;
  });
  device_.VisitVictimsOf(&tenant, [&](const Bytes16& entry_id, int64_t) {
    if (missing_entries <= 0) return false;
    if (host_.Has(entry_id)) return true;
    removed.push_back(entry_id);
    --missing_entries;
    return true;
  });
  if (missing_bytes > 0) {
    return ErrorStatus(absl::StatusCode::kResourceExhausted, "QUOTA_HOST_BYTES",
                       absl::StrCat("the tenant may have ", *quota.host_bytes, " bytes in host memory; what it has is ",
                                    "pinned or being read"));
  }
  if (missing_entries > 0) {
    return ErrorStatus(absl::StatusCode::kResourceExhausted, "QUOTA_ENTRIES",
                       absl::StrCat("the tenant may have ", *quota.entries, " entries; those it has are pinned or being ",
                                    "read"));
  }
  for (const Bytes16& entry_id : removed) Remove(entry_id, RemovalReason::kEvicted, after);
  EvictFromHost(dropped, after);
  return absl::OkStatus();
}

EntryStore::Impl::Victims EntryStore::Impl::ChooseVictims(int64_t bytes, Eviction eviction) const {
  Victims victims;
  if (host_.unpinned_bytes() + device_.header_charge_bytes() < bytes) return victims;
  int64_t freed_bytes = 0;
  absl::flat_hash_set<Bytes16, FixedBytesHash> leave_host;
  host_.VisitVictims([&](const Bytes16& entry_id, int64_t charged_bytes) {
    if (eviction == Eviction::kSpareCopies && !device_.Has(entry_id)) return true;
    victims.in_host.push_back(entry_id);
    leave_host.insert(entry_id);
    freed_bytes += charged_bytes;
    return freed_bytes < bytes;
  });
  if (freed_bytes < bytes && eviction == Eviction::kEntries) {
    // What is left are headers of entries that are, or then would be, on the device alone.
    device_.VisitVictims([&](const Bytes16& entry_id, int64_t) {
      const StoredEntry& stored = *index_.Find(entry_id);
      const bool is_described_elsewhere = stored.description.use_count() > 1;
      if (!is_described_elsewhere && (!host_.Has(entry_id) || leave_host.contains(entry_id))) {
        victims.on_device.push_back(entry_id);
        freed_bytes += stored.header_charge_bytes;
      }
      return freed_bytes < bytes;
    });
  }
  return freed_bytes < bytes ? Victims() : victims;
}

}  // namespace chunkkv
