// Describing, listing, pinning, deleting, trimming and watching.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/store/entry_store_impl.h"

namespace chunkkv {
namespace {

// Entries looked at while the lock is held, in operations that look at all of a tenant's.
constexpr int kVisitsAtOnce = 1024;

absl::Status NotFound() { return ErrorStatus(absl::StatusCode::kNotFound, "ENTRY_NOT_FOUND", "no such entry"); }

}  // namespace

absl::StatusOr<EntryState> EntryStore::Impl::Describe(const Selector& selector) {
  Aftermath after(watchers_);
  MutexLock lock(mutex_);
  Expire(after);
  const StoredEntry* const stored = index_.Find(selector);
  if (stored == nullptr) return NotFound();
  return StateOf(*stored);
}

std::vector<EntryState> EntryStore::Impl::List(const std::string& tenant, const std::optional<Bytes32>& fingerprint,
                                               const std::optional<Bytes16>& after_id, size_t limit) {
  std::vector<EntryState> states;
  std::optional<Bytes16> cursor = after_id;
  while (states.size() < limit) {
    Aftermath after(watchers_);
    MutexLock lock(mutex_);
    Expire(after);
    for (int i = 0; i < kVisitsAtOnce && states.size() < limit; ++i) {
      const StoredEntry* const stored = index_.NextOf(tenant, cursor);
      if (stored == nullptr) return states;
      cursor = stored->id();
      if (!fingerprint.has_value() || *fingerprint == stored->identity().fingerprint) {
        states.push_back(StateOf(*stored));
      }
    }
  }
  return states;
}

std::vector<EntryState> EntryStore::Impl::Recent() {
  Aftermath after(watchers_);
  MutexLock lock(mutex_);
  Expire(after);
  std::vector<EntryState> states;
  for (const Bytes16& entry_id : recent_) {
    if (const StoredEntry* const stored = index_.Find(entry_id)) states.push_back(StateOf(*stored));
  }
  return states;
}

absl::StatusOr<Lease> EntryStore::Impl::Pin(const Selector& selector, int64_t duration_ms) {
  if (const int64_t most_ms = MaxPinMs(selector.tenant); duration_ms < 1 || duration_ms > most_ms) {
    return InvalidArgument("BAD_PIN", absl::StrCat("duration_ms must be between 1 and ", most_ms));
  }
  Aftermath after(watchers_);
  MutexLock lock(mutex_);
  Expire(after);
  const StoredEntry* const stored = index_.Find(selector);
  if (stored == nullptr) return NotFound();
  return PinEntries(selector.tenant, {stored->id()}, duration_ms);
}

absl::Status EntryStore::Impl::Unpin(const std::string& tenant, const Bytes16& lease_id) {
  Aftermath after(watchers_);
  MutexLock lock(mutex_);
  Expire(after);
  const auto unpinned = pins_.Remove(tenant, lease_id);
  if (!unpinned.has_value()) return ErrorStatus(absl::StatusCode::kNotFound, "PIN_NOT_FOUND", "no such pin");
  Unpinned(*unpinned);
  return absl::OkStatus();
}

absl::Status EntryStore::Impl::Delete(const Selector& selector) {
  Aftermath after(watchers_);
  MutexLock lock(mutex_);
  Expire(after);
  const StoredEntry* const stored = index_.Find(selector);
  if (stored == nullptr) return NotFound();
  if (pins_.IsPinned(stored->id())) return FailedPrecondition("PINNED", "the entry is pinned");
  Remove(Bytes16(stored->id()), RemovalReason::kDeleted, after);
  return absl::OkStatus();
}

TrimResult EntryStore::Impl::Trim(const TrimCondition& condition) {
  TrimResult result;
  std::vector<Bytes16> candidates;
  if (!condition.prefix.empty()) {
    const Tenant* tenant = nullptr;
    {
      MutexLock lock(mutex_);
      tenant = &TenantOf(condition.tenant);
    }
    std::vector<Bytes16> names;
    tenant->hasher.ExtendNames(condition.prefix, condition.prefix.size(), &names);
    MutexLock lock(mutex_);
    for (const PrefixScope& scope : prefixes_.ScopesOf(condition.tenant, condition.fingerprint)) {
      prefixes_.VisitBelow(scope, names, [&](StoredEntry* stored) { candidates.push_back(stored->id()); });
    }
  }
  std::optional<Bytes16> cursor;
  size_t next = 0;
  while (true) {
    Aftermath after(watchers_);
    MutexLock lock(mutex_);
    Expire(after);
    for (int i = 0; i < kVisitsAtOnce; ++i) {
      StoredEntry* stored = nullptr;
      if (condition.prefix.empty()) {
        stored = index_.NextOf(condition.tenant, cursor);
        if (stored == nullptr) return result;
        cursor = stored->id();
      } else {
        if (next == candidates.size()) return result;
        stored = index_.Find(candidates[next++]);
        if (stored == nullptr) continue;  // gone meanwhile
      }
      TrimOne(*stored, condition, result, after);
    }
  }
}

void EntryStore::Impl::TrimOne(StoredEntry& stored, const TrimCondition& condition, TrimResult& result,
                               Aftermath& after) {
  if (condition.fingerprint.has_value() && *condition.fingerprint != stored.identity().fingerprint) return;
  if (clock_.MonotonicMs() - stored.last_used_monotonic_ms < condition.older_than_ms) return;
  if (pins_.IsPinned(stored.id())) {
    ++result.pinned_entries;
    return;
  }
  ++result.removed_entries;
  result.removed_bytes += stored.charged_bytes();
  if (!condition.dry_run) Remove(Bytes16(stored.id()), RemovalReason::kDeleted, after);
}

std::vector<StoreEvent> EntryStore::Impl::EventsAfter(const std::string& tenant, int64_t sequence, size_t limit,
                                                      int64_t* last_sequence, bool* gap) {
  MutexLock lock(mutex_);
  return TenantOf(tenant).events.After(sequence, limit, last_sequence, gap);
}

std::vector<PlacedEntry> EntryStore::Impl::Snapshot(const std::string& tenant, int64_t* sequence) {
  std::vector<PlacedEntry> cards;
  Aftermath after(watchers_);
  MutexLock lock(mutex_);
  Expire(after);
  for (const StoredEntry* stored = index_.NextOf(tenant, std::nullopt); stored != nullptr;
       stored = index_.NextOf(tenant, stored->id())) {
    cards.push_back({stored->card, TierOf(stored->id())});
  }
  *sequence = TenantOf(tenant).events.last_sequence();
  return cards;
}

}  // namespace chunkkv
