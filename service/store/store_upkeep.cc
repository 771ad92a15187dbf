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
      if (entry == nullptr) {
        scrub_cursor_ = {stored->identity().tenant, stored->id(), 0};
        continue;
      }
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
  StoredEntry* const stored = index_.Find(entry_id);
  if (stored == nullptr) return;
  if (device_.Has(entry_id)) {
    if (host_.Find(entry_id) != entry) return;  // found before, and healed since
    ++damaged_entries_;
    DropFromHost(*stored, after);
  } else {
    Remove(entry_id, RemovalReason::kDamaged, after);
  }
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
  stats.budget_bytes = host_budget_.limit_bytes();
  stats.used_bytes = host_budget_.used_bytes();
  stats.entry_bytes = host_.charged_bytes() + device_.header_charge_bytes();
  stats.host_entries = host_.size();
  stats.entries = index_.entry_count();
  stats.evictions = evictions_;
  stats.pins = pins_.lease_count();
  stats.puts_in_progress = puts_.put_count();
  stats.waiters = puts_.waiter_count();
  stats.scrubbed_bytes = scrubbed_bytes_;
  stats.damaged_entries = damaged_entries_;
  stats.expirations = expirations_;
  stats.host_hit_tokens = host_hit_tokens_;
  stats.device_hit_tokens = device_hit_tokens_;
  for (const auto& [name, tenant] : tenants_) {
    stats.miss_tokens += tenant.counters.miss_tokens;
    stats.received_bytes += tenant.counters.received_bytes;
    stats.stored_bytes += tenant.counters.stored_bytes;
  }
  if (device_options_.storage != nullptr) stats.device = device_.Stats(device_options_.storage->pool());
  return stats;
}

TenantStats EntryStore::Impl::StatsOf(const std::string& tenant) const {
  MutexLock lock(mutex_);
  const auto found = tenants_.find(tenant);
  return found == tenants_.end() ? TenantStats() : found->second.counters;
}

}  // namespace chunkkv
