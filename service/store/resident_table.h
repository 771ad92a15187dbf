// What lives in one tier: for each entry a reference to its bytes there, what they are charged, and who makes room.
//
// It knows nothing of names, tenants or prompts: several stand side by side under one index. Not thread-safe: the store
// locks.
#ifndef CHUNKKV_SERVICE_STORE_RESIDENT_TABLE_H_
#define CHUNKKV_SERVICE_STORE_RESIDENT_TABLE_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "service/base/check.h"
#include "service/format/bytes.h"
#include "service/store/eviction_policy.h"

namespace chunkkv {

// `Copy`: an entry's bytes in this tier. References leave only by Find and Remove, under the owner's lock: a copy whose
// only reference is the table's is read by nobody, and stays so until the lock is given up.
template <typename Copy>
class ResidentTable {
 public:
  using CopyPtr = std::shared_ptr<const Copy>;

  explicit ResidentTable(std::unique_ptr<EvictionPolicy> policy) : policy_(std::move(policy)) {}

  // `charged_bytes`: what the budget gets back once the copy and its readers are gone. `owner`: whose it is.
  void Insert(const Bytes16& entry_id, CopyPtr copy, int64_t charged_bytes, OwnerId owner) {
    CHUNKKV_CHECK(residents_.try_emplace(entry_id, Resident{std::move(copy), charged_bytes, owner, false}).second);
    charged_bytes_ += charged_bytes;
    unpinned_bytes_ += charged_bytes;
    of_owners_[owner] += charged_bytes;
    policy_->Insert(entry_id, charged_bytes, owner);
  }

  // The caller drops the last reference outside its lock: giving memory back takes time. Null where it is not here.
  CopyPtr Remove(const Bytes16& entry_id) {
    const auto found = residents_.find(entry_id);
    if (found == residents_.end()) return nullptr;
    Resident resident = std::move(found->second);
    residents_.erase(found);
    charged_bytes_ -= resident.charged_bytes;
    of_owners_[resident.owner] -= resident.charged_bytes;
    if (!resident.pinned) unpinned_bytes_ -= resident.charged_bytes;
    policy_->Erase(entry_id);
    return std::move(resident.copy);
  }

  // Null where it is not here.
  CopyPtr Find(const Bytes16& entry_id) const {
    const auto found = residents_.find(entry_id);
    return found == residents_.end() ? nullptr : found->second.copy;
  }
  bool Has(const Bytes16& entry_id) const { return residents_.contains(entry_id); }

  // None of these has an effect where the entry is not here.
  void Touch(const Bytes16& entry_id) { policy_->Touch(entry_id); }
  void Recharge(const Bytes16& entry_id, int64_t charged_bytes) {
    const auto found = residents_.find(entry_id);
    if (found == residents_.end()) return;
    const int64_t more_bytes = charged_bytes - std::exchange(found->second.charged_bytes, charged_bytes);
    charged_bytes_ += more_bytes;
    of_owners_[found->second.owner] += more_bytes;
    if (!found->second.pinned) unpinned_bytes_ += more_bytes;
    policy_->Resize(entry_id, charged_bytes);
  }
  // A pinned entry is never chosen to make room.
  void SetPinned(const Bytes16& entry_id, bool pinned) {
    const auto found = residents_.find(entry_id);
    if (found == residents_.end() || found->second.pinned == pinned) return;
    Resident& resident = found->second;
    resident.pinned = pinned;
    unpinned_bytes_ += pinned ? -resident.charged_bytes : resident.charged_bytes;
    if (pinned) {
      policy_->Erase(entry_id);
    } else {
      policy_->Insert(entry_id, resident.charged_bytes, resident.owner);
    }
  }

  // Visits what could go, in the policy's order, until `visit` returns false: neither pinned nor being read.
  void VisitVictims(absl::FunctionRef<bool(const Bytes16& entry_id, int64_t charged_bytes)> visit) const {
    policy_->VisitVictims([&](const Bytes16& entry_id) { return VisitUnread(entry_id, visit); });
  }
  // The same of one owner's.
  void VisitVictimsOf(OwnerId owner,
                      absl::FunctionRef<bool(const Bytes16& entry_id, int64_t charged_bytes)> visit) const {
    policy_->VisitVictimsOf(owner, [&](const Bytes16& entry_id) { return VisitUnread(entry_id, visit); });
  }

  std::vector<Bytes16> Ids() const {
    std::vector<Bytes16> ids;
    for (const auto& [entry_id, resident] : residents_) ids.push_back(entry_id);
    return ids;
  }
  int64_t size() const { return static_cast<int64_t>(residents_.size()); }
  int64_t charged_bytes() const { return charged_bytes_; }
  int64_t unpinned_bytes() const { return unpinned_bytes_; }  // of them
  int64_t charged_bytes_of(OwnerId owner) const {
    const auto found = of_owners_.find(owner);
    return found == of_owners_.end() ? 0 : found->second;
  }

 private:
  struct Resident {
    CopyPtr copy;
    int64_t charged_bytes = 0;
    OwnerId owner = nullptr;
    bool pinned = false;
  };

  bool VisitUnread(const Bytes16& entry_id,
                   absl::FunctionRef<bool(const Bytes16& entry_id, int64_t charged_bytes)> visit) const {
    const Resident& resident = residents_.find(entry_id)->second;
    return resident.copy.use_count() > 1 || visit(entry_id, resident.charged_bytes);
  }

  const std::unique_ptr<EvictionPolicy> policy_;
  absl::flat_hash_map<Bytes16, Resident, FixedBytesHash> residents_;
  int64_t charged_bytes_ = 0;
  int64_t unpinned_bytes_ = 0;
  absl::flat_hash_map<OwnerId, int64_t> of_owners_;  // charged
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_RESIDENT_TABLE_H_
