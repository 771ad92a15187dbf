#include "service/store/entry_index.h"

#include "service/base/check.h"
#include "service/store/accept_rule.h"

namespace chunkkv {

StoredEntry* EntryIndex::Insert(std::unique_ptr<StoredEntry> entry) {
  StoredEntry* const stored = entry.get();
  CHUNKKV_CHECK(by_id_.emplace(stored->id(), std::move(entry)).second);
  CHUNKKV_CHECK(by_prompt_[PromptOf(stored->identity())].emplace(stored->identity().variant, stored).second);
  by_tenant_[stored->identity().tenant].emplace(stored->id(), stored);
  if (stored->expires_monotonic_ms != kNeverMs) by_expiry_.emplace(stored->expires_monotonic_ms, stored->id());
  return stored;
}

std::unique_ptr<StoredEntry> EntryIndex::Remove(const Bytes16& entry_id) {
  const auto found = by_id_.find(entry_id);
  CHUNKKV_CHECK(found != by_id_.end());
  std::unique_ptr<StoredEntry> stored = std::move(found->second);
  by_id_.erase(found);
  const auto prompt = by_prompt_.find(PromptOf(stored->identity()));
  prompt->second.erase(stored->identity().variant);
  if (prompt->second.empty()) by_prompt_.erase(prompt);
  const auto tenant = by_tenant_.find(stored->identity().tenant);
  tenant->second.erase(stored->id());
  if (tenant->second.empty()) by_tenant_.erase(tenant);
  by_expiry_.erase({stored->expires_monotonic_ms, stored->id()});
  return stored;
}

StoredEntry* EntryIndex::Find(const Bytes16& entry_id) const {
  const auto found = by_id_.find(entry_id);
  return found == by_id_.end() ? nullptr : found->second.get();
}

StoredEntry* EntryIndex::Find(const EntryIdentity& identity) const {
  const auto prompt = by_prompt_.find(PromptOf(identity));
  if (prompt == by_prompt_.end()) return nullptr;
  const auto variant = prompt->second.find(identity.variant);
  return variant == prompt->second.end() ? nullptr : variant->second;
}

StoredEntry* EntryIndex::Find(const Selector& selector) const {
  StoredEntry* stored = nullptr;
  if (selector.entry_id.has_value()) {
    stored = Find(*selector.entry_id);
  } else if (selector.identity.has_value()) {
    stored = Find(*selector.identity);
  }
  if (stored == nullptr || stored->identity().tenant != selector.tenant) return nullptr;
  if (selector.if_entry_id.has_value() && *selector.if_entry_id != stored->id()) return nullptr;
  return stored;
}

StoredEntry* EntryIndex::FindAccepted(const PromptName& name, const AcceptRule& accept) const {
  const auto prompt = by_prompt_.find(name);
  if (prompt == by_prompt_.end()) return nullptr;
  StoredEntry* best = nullptr;
  for (const auto& [variant, stored] : prompt->second) {
    if (!Accepts(accept, stored->header())) continue;
    if (best == nullptr || IsLessLossy(stored->header(), best->header())) best = stored;
  }
  return best;
}

StoredEntry* EntryIndex::NextOf(const std::string& tenant, const std::optional<Bytes16>& after) const {
  const auto entries = by_tenant_.find(tenant);
  if (entries == by_tenant_.end()) return nullptr;
  const auto next = after.has_value() ? entries->second.upper_bound(*after) : entries->second.begin();
  return next == entries->second.end() ? nullptr : next->second;
}

StoredEntry* EntryIndex::NextRound(const std::string& tenant, const Bytes16& after) const {
  if (by_tenant_.empty()) return nullptr;
  if (StoredEntry* const next = NextOf(tenant, after)) return next;
  auto next_tenant = by_tenant_.upper_bound(tenant);
  if (next_tenant == by_tenant_.end()) next_tenant = by_tenant_.begin();
  return next_tenant->second.begin()->second;
}

StoredEntry* EntryIndex::FindExpired(int64_t monotonic_ms) const {
  if (by_expiry_.empty() || by_expiry_.begin()->first > monotonic_ms) return nullptr;
  return Find(by_expiry_.begin()->second);
}

}  // namespace chunkkv
