// The parts of an EntryStore put together. Private to service/store.
#ifndef CHUNKKV_SERVICE_STORE_ENTRY_STORE_IMPL_H_
#define CHUNKKV_SERVICE_STORE_ENTRY_STORE_IMPL_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "service/base/mutex.h"
#include "service/store/entry_index.h"
#include "service/store/entry_store.h"
#include "service/store/host_tier.h"
#include "service/store/pin_table.h"
#include "service/store/prefix_index.h"
#include "service/store/put_registry.h"
#include "service/store/scrubber.h"
#include "service/store/tenant.h"
#include "service/store/watcher_list.h"

namespace chunkkv {

// One mutex for everything that names entries; bytes move and are hashed without it.
class EntryStore::Impl {
 public:
  Impl(const StoreOptions& options, const Clock& clock)
      : options_(options), clock_(clock), host_(options.host_budget_bytes, MakeLruPolicy()) {}
  ~Impl();

  absl::Status CheckEntrySize(int64_t body_bytes) const;
  absl::StatusOr<BudgetShare> Reserve(int64_t bytes);
  bool TryReserve(int64_t bytes, BudgetShare* share) { return host_.budget().TryReserve(bytes, share); }
  PutToken BeginPut(const EntryIdentity& identity);
  void EndPut(PutToken token);
  EntryPtr FindStored(const EntryIdentity& identity);
  absl::StatusOr<CommitResult> Commit(PutToken token, EntryIdentity identity, EntryHeader header, Buffer body,
                                      const CommitOptions& options, BudgetShare header_share);

  absl::StatusOr<EntryPtr> Get(const PromptName& name, const AcceptRule& accept,
                               const std::optional<Bytes16>& if_entry_id, int64_t miss_tokens);
  WaitId Wait(const PromptName& name, const AcceptRule& accept, WaitCallback done, int64_t miss_tokens);
  bool CancelWait(WaitId id);
  void ReportDamaged(const EntryPtr& entry);

  absl::StatusOr<PrefixMatch> FindLongestPrefix(const PrefixQuery& query);
  absl::StatusOr<EntryState> Describe(const Selector& selector);
  std::vector<EntryState> List(const std::string& tenant, const std::optional<Bytes32>& fingerprint,
                               const std::optional<Bytes16>& after, size_t limit);
  absl::StatusOr<Lease> Pin(const Selector& selector, int64_t duration_ms);
  absl::Status Unpin(const std::string& tenant, const Bytes16& lease_id);
  absl::Status Delete(const Selector& selector);
  TrimResult Trim(const TrimCondition& condition);

  WatcherId AddWatcher(std::function<void()> wake) { return watchers_.Add(std::move(wake)); }
  void RemoveWatcher(WatcherId id) { watchers_.Remove(id); }
  std::vector<StoreEvent> EventsAfter(const std::string& tenant, int64_t sequence, size_t limit, int64_t* last_sequence,
                                      bool* gap);
  std::vector<EntryPtr> Snapshot(const std::string& tenant, int64_t* sequence);

  void ExpireNow();
  void Scrub(int64_t bytes);
  void CountPut(const std::string& tenant, int64_t received_bytes, int64_t stored_bytes);
  StoreStats Stats() const;
  TenantStats StatsOf(const std::string& tenant) const;

 private:
  // What an operation leaves to be done without the lock: declare it before the lock is taken.
  struct Aftermath {
    explicit Aftermath(WatcherList& watchers) : watchers(watchers) {}
    ~Aftermath();
    WatcherList& watchers;
    bool events = false;
    std::vector<EntryPtr> removed;  // unmapping takes time
    std::vector<std::function<void()>> callbacks;
  };

  // Evicts until `bytes` fit. Errors: RESOURCE_EXHAUSTED (BUDGET); then nothing was evicted in vain.
  absl::StatusOr<BudgetShare> MakeRoom(int64_t bytes);
  Tenant& TenantOf(const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Ends leases and removes entries whose time has come. Every operation begins with it, so that nothing below has to
  // look at times.
  void Expire(Aftermath& after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remove(const Bytes16& entry_id, RemovalReason reason, Aftermath& after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AppendEvent(Tenant& tenant, const StoredEntry& stored, bool is_stored, RemovalReason reason, Aftermath& after)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Use(StoredEntry& stored) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  EntryPtr Hit(StoredEntry& stored) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  EntryState StateOf(const StoredEntry& stored) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Lease> PinEntries(const std::string& tenant, std::vector<Bytes16> entry_ids, int64_t duration_ms)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Unpinned(const std::vector<Bytes16>& entry_ids) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FailPut(PutToken token);
  // Adds the entry, serves who waited for it.
  void Insert(std::unique_ptr<StoredEntry> stored, EntryPtr entry, const PromptPath& path, Aftermath& after)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<CommitResult> CommitVerified(PutToken token, EntryIdentity identity, EntryHeader header, Buffer body,
                                              const CommitOptions& options, BudgetShare header_share);
  CommitResult AlreadyStored(StoredEntry& stored, const CommitOptions& options) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TrimOne(StoredEntry& stored, const TrimCondition& condition, TrimResult& result, Aftermath& after)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const StoreOptions options_;
  const Clock& clock_;
  WatcherList watchers_;

  mutable Mutex mutex_;
  // Its budget is used without the lock too, and must outlive every share: callers give theirs back before the store
  // ends.
  HostTier host_;
  EntryIndex index_ ABSL_GUARDED_BY(mutex_);
  PrefixIndex prefixes_ ABSL_GUARDED_BY(mutex_);
  PinTable pins_ ABSL_GUARDED_BY(mutex_);
  PutRegistry puts_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Tenant> tenants_ ABSL_GUARDED_BY(mutex_);
  ScrubCursor scrub_cursor_ ABSL_GUARDED_BY(mutex_);
  int64_t evictions_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t scrub_debt_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // verified beyond what was allowed
  int64_t scrubbed_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t damaged_entries_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_ENTRY_STORE_IMPL_H_
