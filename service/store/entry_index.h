// Entries by id, by name, by tenant in the order of ids, and by the time they expire. Owns the StoredEntry of each; not
// their bytes. Not thread-safe: the store locks.
#ifndef CHUNKKV_SERVICE_STORE_ENTRY_INDEX_H_
#define CHUNKKV_SERVICE_STORE_ENTRY_INDEX_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "service/store/entry_store.h"
#include "service/store/prompt_name_hash.h"
#include "service/store/stored_entry.h"

namespace chunkkv {

class EntryIndex {
 public:
  // No entry of its id or identity may be in.
  StoredEntry* Insert(std::unique_ptr<StoredEntry> entry);
  std::unique_ptr<StoredEntry> Remove(const Bytes16& entry_id);

  // Null where there is none; another tenant's is none.
  StoredEntry* Find(const Bytes16& entry_id) const;
  StoredEntry* Find(const EntryIdentity& identity) const;
  StoredEntry* Find(const Selector& selector) const;
  // The least lossy of the variants of `name` that `accept` takes.
  StoredEntry* FindAccepted(const PromptName& name, const AcceptRule& accept) const;

  // Entries of a tenant above `after`, in the order of ids. Null where there is none.
  StoredEntry* NextOf(const std::string& tenant, const std::optional<Bytes16>& after) const;
  // Of all tenants, one after the other; wraps round. Null where there is no entry at all.
  StoredEntry* NextRound(const std::string& tenant, const Bytes16& after) const;
  // An entry that has expired; null where none has.
  StoredEntry* FindExpired(int64_t monotonic_ms) const;

  int64_t entry_count() const { return static_cast<int64_t>(by_id_.size()); }

 private:
  using Variants = std::map<Bytes32, StoredEntry*>;

  absl::flat_hash_map<Bytes16, std::unique_ptr<StoredEntry>, FixedBytesHash> by_id_;
  absl::flat_hash_map<PromptName, Variants> by_prompt_;
  std::map<std::string, std::map<Bytes16, StoredEntry*>> by_tenant_;
  std::set<std::pair<int64_t, Bytes16>> by_expiry_;  // those that expire
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_ENTRY_INDEX_H_
