// The tier of host memory: the bytes of entries, the budget they are charged to, and who makes room.
//
// It knows nothing of names, tenants or prompts: other tiers can stand beside it under the same index. Not thread-safe
// (the store locks), but for budget().
#ifndef CHUNKKV_SERVICE_STORE_HOST_TIER_H_
#define CHUNKKV_SERVICE_STORE_HOST_TIER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "service/memory/budget.h"
#include "service/store/entry.h"
#include "service/store/eviction_policy.h"

namespace chunkkv {

class HostTier {
 public:
  HostTier(int64_t budget_bytes, std::unique_ptr<EvictionPolicy> policy);

  MemoryBudget& budget() { return budget_; }
  const MemoryBudget& budget() const { return budget_; }

  // `charged_bytes`: what the budget gets back once the entry and its readers are gone.
  void Insert(EntryPtr entry, int64_t charged_bytes);
  // The caller drops the last reference outside its lock: unmapping takes time.
  EntryPtr Remove(const Bytes16& entry_id);
  // Null where it is not here.
  EntryPtr Find(const Bytes16& entry_id) const;
  void Touch(const Bytes16& entry_id) { policy_->Touch(entry_id); }
  // A pinned entry is never chosen to make room.
  void SetPinned(const Bytes16& entry_id, bool pinned);

  // Entries whose removal gives at least `bytes` back at once, in the policy's order: neither pinned nor being read.
  // Empty where all of them together would not do.
  std::vector<Bytes16> ChooseVictims(int64_t bytes) const;

  int64_t entry_bytes() const { return entry_bytes_; }

 private:
  struct Resident {
    EntryPtr entry;
    int64_t charged_bytes = 0;
    bool pinned = false;
  };

  MemoryBudget budget_;
  const std::unique_ptr<EvictionPolicy> policy_;
  absl::flat_hash_map<Bytes16, Resident, FixedBytesHash> residents_;
  int64_t entry_bytes_ = 0;
  int64_t unpinned_bytes_ = 0;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_HOST_TIER_H_
