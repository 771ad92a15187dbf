// The tier of device memory: which entries have a copy there, and how that came and goes.
//
// An entry is copied to the device when it is stored or read, where there is room, and in another's place from its
// second read on. The least recently used go first: where host memory has the bytes too the copy is dropped, else it is
// moved there, into what is free or held twice. Where that is not enough the newcomer stays where it is: no move costs
// an entry.
//
// Out of memory, a device is full, and nothing else happens. After any other error it is lost: its copies are gone,
// with those entries that had no other, and so is the tier until the server starts again.
#ifndef CHUNKKV_SERVICE_STORE_DEVICE_TIER_H_
#define CHUNKKV_SERVICE_STORE_DEVICE_TIER_H_

#include <cstdint>
#include <memory>

#include "absl/container/flat_hash_set.h"
#include "service/memory/device_pool.h"
#include "service/store/entry_store.h"
#include "service/store/promotion_queue.h"
#include "service/store/resident_table.h"
#include "service/store/stored_entry.h"

namespace chunkkv {

using DeviceBlockPtr = std::shared_ptr<const DeviceBlock>;

// Not thread-safe: the store locks.
class DeviceTier : private ResidentTable<DeviceBlock> {
 public:
  DeviceTier() : ResidentTable(MakeFairLruPolicy()) {}
  using ResidentTable::charged_bytes;
  using ResidentTable::charged_bytes_of;
  using ResidentTable::Find;
  using ResidentTable::Has;
  using ResidentTable::Ids;
  using ResidentTable::SetPinned;
  using ResidentTable::Touch;
  using ResidentTable::VisitVictims;
  using ResidentTable::VisitVictimsOf;

  void Add(const StoredEntry& stored, DeviceBlockPtr block, OwnerId owner) {
    const int64_t charged_bytes = DevicePool::ChargedBytes(block->size_bytes());
    Insert(stored.id(), std::move(block), charged_bytes, owner);
    header_charge_bytes_ += stored.header_charge_bytes;
    ++stats_.promotions;
  }
  // Null where it is not here.
  DeviceBlockPtr Take(const StoredEntry& stored) {
    DeviceBlockPtr block = Remove(stored.id());
    if (block != nullptr) header_charge_bytes_ -= stored.header_charge_bytes;
    return block;
  }
  // What the headers of the entries here take of host memory.
  int64_t header_charge_bytes() const { return header_charge_bytes_; }

  DeviceTierStats Stats(const DevicePool& pool) const {
    DeviceTierStats stats = stats_;
    stats.budget_bytes = pool.limit_bytes();
    stats.used_bytes = pool.slab_bytes();
    stats.entry_bytes = charged_bytes();
    stats.entries = size();
    return stats;
  }
  DeviceTierStats& counters() { return stats_; }
  bool is_lost() const { return !stats_.failure.ok(); }

  PromotionQueue& wanted() { return wanted_; }  // here
  // Entries that are being copied to host memory.
  absl::flat_hash_set<Bytes16, FixedBytesHash>& leaving() { return leaving_; }

 private:
  int64_t header_charge_bytes_ = 0;
  DeviceTierStats stats_;
  PromotionQueue wanted_;
  absl::flat_hash_set<Bytes16, FixedBytesHash> leaving_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_DEVICE_TIER_H_
