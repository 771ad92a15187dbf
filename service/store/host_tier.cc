#include "service/store/host_tier.h"

#include <utility>

#include "service/base/check.h"

namespace chunkkv {

HostTier::HostTier(int64_t budget_bytes, std::unique_ptr<EvictionPolicy> policy)
    : budget_(budget_bytes), policy_(std::move(policy)) {}

void HostTier::Insert(EntryPtr entry, int64_t charged_bytes) {
  const Bytes16 entry_id = entry->header().entry_id;
  const auto [place, inserted] = residents_.try_emplace(entry_id, Resident{std::move(entry), charged_bytes, false});
  CHUNKKV_CHECK(inserted);
  entry_bytes_ += charged_bytes;
  unpinned_bytes_ += charged_bytes;
  policy_->Insert(entry_id, charged_bytes);
}

EntryPtr HostTier::Remove(const Bytes16& entry_id) {
  const auto found = residents_.find(entry_id);
  CHUNKKV_CHECK(found != residents_.end());
  Resident resident = std::move(found->second);
  residents_.erase(found);
  entry_bytes_ -= resident.charged_bytes;
  if (!resident.pinned) unpinned_bytes_ -= resident.charged_bytes;
  policy_->Erase(entry_id);
  return std::move(resident.entry);
}

EntryPtr HostTier::Find(const Bytes16& entry_id) const {
  const auto found = residents_.find(entry_id);
  return found == residents_.end() ? nullptr : found->second.entry;
}

void HostTier::SetPinned(const Bytes16& entry_id, bool pinned) {
  const auto found = residents_.find(entry_id);
  CHUNKKV_CHECK(found != residents_.end());
  Resident& resident = found->second;
  if (resident.pinned == pinned) return;
  resident.pinned = pinned;
  unpinned_bytes_ += pinned ? -resident.charged_bytes : resident.charged_bytes;
  if (pinned) {
    policy_->Erase(entry_id);
  } else {
    policy_->Insert(entry_id, resident.charged_bytes);
  }
}

std::vector<Bytes16> HostTier::ChooseVictims(int64_t bytes) const {
  if (unpinned_bytes_ < bytes) return {};
  std::vector<Bytes16> victims;
  int64_t freed_bytes = 0;
  policy_->VisitVictims([&](const Bytes16& entry_id) {
    const Resident& resident = residents_.find(entry_id)->second;
    // References are handed out only by the tier's owner under its lock: one that is alone stays alone.
    if (resident.entry.use_count() == 1) {
      victims.push_back(entry_id);
      freed_bytes += resident.charged_bytes;
    }
    return freed_bytes < bytes;
  });
  if (freed_bytes < bytes) victims.clear();
  return victims;
}

}  // namespace chunkkv
