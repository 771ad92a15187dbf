// Expiry, scrubbing and counters.
#include <utility>

#include "service/store/entry_store_impl.h"

namespace chunkkv {

void EntryStore::Impl::ExpireNow() {
  Aftermath after(watchers_);
  MutexLock lock(mutex_);
  Expire(after);
}

void EntryStore::Impl::Scrub(int64_t bytes) {
  // At most one round, however many bytes are allowed.
  int64_t entries_left = 0;
  {
    MutexLock lock(mutex_);
    entries_left = index_.entry_count() + 1;
    bytes -= std::exchange(scrub_debt_bytes_, 0);
  }
  while (bytes > 0 && entries_left-- > 0) {
    EntryPtr entry;
    size_t next_tensor = 0;
    {
      Aftermath after(watchers_);
      MutexLock lock(mutex_);
      Expire(after);
      const StoredEntry* stored = scrub_cursor_.next_tensor > 0 ? index_.Find(scrub_cursor_.entry_id) : nullptr;
      if (stored != nullptr) {
        next_tensor = scrub_cursor_.next_tensor;
      } else {
        stored = index_.NextRound(scrub_cursor_.tenant, scrub_cursor_.entry_id);
      }
      if (stored == nullptr) return;
      entry = host_.Find(stored->id());
    }
    const int64_t bytes_before = bytes;
    const bool is_sound = ScrubTensors(*entry, &next_tensor, &bytes);
    {
      MutexLock lock(mutex_);
      scrubbed_bytes_ += bytes_before - bytes;
      scrub_cursor_ = {entry->identity().tenant, entry->header().entry_id, is_sound ? next_tensor : 0};
    }
    if (!is_sound) ReportDamaged(entry);
  }
  if (bytes < 0) {
    MutexLock lock(mutex_);
    scrub_debt_bytes_ -= bytes;
  }
}

void EntryStore::Impl::ReportDamaged(const EntryPtr& entry) {
  Aftermath after(watchers_);
  MutexLock lock(mutex_);
  const Bytes16& entry_id = entry->header().entry_id;
  if (index_.Find(entry_id) != nullptr) Remove(entry_id, RemovalReason::kDamaged, after);
}

void EntryStore::Impl::CountPut(const std::string& tenant, int64_t received_bytes, int64_t stored_bytes) {
  MutexLock lock(mutex_);
  TenantStats& counters = TenantOf(tenant).counters;
  ++counters.puts;
  counters.received_bytes += received_bytes;
  counters.stored_bytes += stored_bytes;
}

StoreStats EntryStore::Impl::Stats() const {
  MutexLock lock(mutex_);
  StoreStats stats;
  stats.budget_bytes = host_.budget().limit_bytes();
  stats.used_bytes = host_.budget().used_bytes();
  stats.entry_bytes = host_.entry_bytes();
  stats.entries = index_.entry_count();
  stats.evictions = evictions_;
  stats.pins = pins_.lease_count();
  stats.puts_in_progress = puts_.put_count();
  stats.waiters = puts_.waiter_count();
  stats.scrubbed_bytes = scrubbed_bytes_;
  stats.damaged_entries = damaged_entries_;
  return stats;
}

TenantStats EntryStore::Impl::StatsOf(const std::string& tenant) const {
  MutexLock lock(mutex_);
  const auto found = tenants_.find(tenant);
  return found == tenants_.end() ? TenantStats() : found->second.counters;
}

}  // namespace chunkkv
