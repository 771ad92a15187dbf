// Getting entries, and waiting for them.
#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/store/accept_rule.h"
#include "service/store/entry_store_impl.h"

namespace chunkkv {

absl::StatusOr<StoredEntry*> EntryStore::Impl::FindServed(const PromptName& name, const AcceptRule& accept,
                                                          const std::optional<Bytes16>& if_entry_id) {
  // With an id it is that very entry, also where a less lossy one has been stored since.
  StoredEntry* stored = nullptr;
  if (!if_entry_id.has_value()) {
    stored = index_.FindAccepted(name, accept);
  } else if (StoredEntry* const named = index_.Find(*if_entry_id);
             named != nullptr && PromptOf(named->identity()) == name && Accepts(accept, named->header())) {
    stored = named;
  }
  if (stored == nullptr) return ErrorStatus(absl::StatusCode::kNotFound, "ENTRY_NOT_FOUND", "no such entry");
  return stored;
}

absl::StatusOr<EntryPtr> EntryStore::Impl::Get(const PromptName& name, const AcceptRule& accept,
                                               const std::optional<Bytes16>& if_entry_id, int64_t miss_tokens) {
  Bytes16 entry_id;
  {
    Aftermath after(watchers_);
    MutexLock lock(mutex_);
    Expire(after);
    const absl::StatusOr<StoredEntry*> stored = FindServed(name, accept, if_entry_id);
    if (!stored.ok()) {
      TenantOf(name.tenant).counters.miss_tokens += miss_tokens;
      return stored.status();
    }
    if (EntryPtr entry = Hit(**stored, after)) return entry;
    entry_id = (*stored)->id();
  }
  return BringToHost(entry_id, Eviction::kEntries);
}

absl::StatusOr<EntryPtr> EntryStore::Impl::GetInHost(const PromptName& name, const AcceptRule& accept,
                                                     const std::optional<Bytes16>& if_entry_id) {
  Aftermath after(watchers_);
  MutexLock lock(mutex_);
  Expire(after);
  CHUNKKV_ASSIGN_OR_RETURN(StoredEntry* const stored, FindServed(name, accept, if_entry_id));
  return host_.Has(stored->id()) ? Hit(*stored, after) : nullptr;
}

EntryStore::WaitId EntryStore::Impl::Wait(const PromptName& name, const AcceptRule& accept, WaitCallback done,
                                          int64_t miss_tokens) {
  Aftermath after(watchers_);
  MutexLock lock(mutex_);
  Expire(after);
  StoredEntry* const stored = index_.FindAccepted(name, accept);
  if (stored == nullptr) return puts_.AddWaiter(name, {accept, std::move(done), name.tenant, miss_tokens});
  after.callbacks.push_back([this, done = std::move(done), entry = Hit(*stored, after), entry_id = stored->id()] {
    done(entry != nullptr ? entry : BringToHost(entry_id, Eviction::kEntries));
  });
  return puts_.NewWaitId();
}

bool EntryStore::Impl::CancelWait(WaitId id) {
  MutexLock lock(mutex_);
  const std::optional<PutRegistry::Waiter> waiter = puts_.CancelWaiter(id);
  if (!waiter.has_value()) return false;
  TenantOf(waiter->tenant).counters.miss_tokens += waiter->miss_tokens;
  return true;
}

}  // namespace chunkkv
