// The parts of an EntryStore put together. Private to service/store.
#ifndef CHUNKKV_SERVICE_STORE_ENTRY_STORE_IMPL_H_
#define CHUNKKV_SERVICE_STORE_ENTRY_STORE_IMPL_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "service/base/mutex.h"
#include "service/store/device_tier.h"
#include "service/store/entry_index.h"
#include "service/store/entry_store.h"
#include "service/store/pin_table.h"
#include "service/store/prefix_index.h"
#include "service/store/put_registry.h"
#include "service/store/resident_table.h"
#include "service/store/scrubber.h"
#include "service/store/tenant.h"
#include "service/store/watcher_list.h"

namespace chunkkv {

// One mutex for everything that names entries; bytes move and are hashed without it.
class EntryStore::Impl {
 public:
  Impl(const StoreOptions& options, const Clock& clock, DeviceTierOptions device)
      : options_(options),
        clock_(clock),
        device_options_(std::move(device)),
        host_budget_(options.host_budget_bytes),
        host_(MakeFairLruPolicy()),
        pins_(kMaxLeases, options.is_shared) {}
  ~Impl();

  absl::Status CheckEntrySize(const std::string& tenant, int64_t body_bytes) const;
  absl::StatusOr<InFlightShare> HoldInFlight(const std::string& tenant, int64_t bytes);
  absl::StatusOr<BudgetShare> Reserve(int64_t bytes);
  bool TryReserve(int64_t bytes, BudgetShare* share) { return host_budget_.TryReserve(bytes, share); }
  PutToken BeginPut(const EntryIdentity& identity);
  void EndPut(PutToken token);
  EntryPtr FindStored(const EntryIdentity& identity);
  absl::StatusOr<CommitResult> Commit(PutToken token, EntryIdentity identity, EntryHeader header, Buffer body,
                                      const CommitOptions& options, BudgetShare header_share);

  absl::StatusOr<EntryPtr> GetInHost(const PromptName& name, const AcceptRule& accept,
                                     const std::optional<Bytes16>& if_entry_id);
  absl::StatusOr<EntryPtr> Get(const PromptName& name, const AcceptRule& accept,
                               const std::optional<Bytes16>& if_entry_id, int64_t miss_tokens);
  WaitId Wait(const PromptName& name, const AcceptRule& accept, WaitCallback done, int64_t miss_tokens);
  bool CancelWait(WaitId id);
  void ReportDamaged(const EntryPtr& entry);

  absl::StatusOr<PrefixMatch> FindLongestPrefix(const PrefixQuery& query);
  absl::StatusOr<EntryState> Describe(const Selector& selector);
  std::vector<EntryState> List(const std::string& tenant, const std::optional<Bytes32>& fingerprint,
                               const std::optional<Bytes16>& after, size_t limit);
  std::vector<EntryState> Recent();
  int64_t MaxPinMs(const std::string& tenant) const;
  absl::StatusOr<Lease> Pin(const Selector& selector, int64_t duration_ms);
  absl::Status Unpin(const std::string& tenant, const Bytes16& lease_id);
  absl::Status Delete(const Selector& selector);
  TrimResult Trim(const TrimCondition& condition);

  WatcherId AddWatcher(std::function<void()> wake) { return watchers_.Add(std::move(wake)); }
  void RemoveWatcher(WatcherId id) { watchers_.Remove(id); }
  std::vector<StoreEvent> EventsAfter(const std::string& tenant, int64_t sequence, size_t limit, int64_t* last_sequence,
                                      bool* gap);
  std::vector<PlacedEntry> Snapshot(const std::string& tenant, int64_t* sequence);

  void ExpireNow();
  void Scrub(int64_t bytes);
  void StopPromoting();
  void CountPut(const std::string& tenant, int64_t received_bytes, int64_t stored_bytes);
  StoreStats Stats() const;
  TenantStats StatsOf(const std::string& tenant) const;

 private:
  static constexpr int64_t kMaxLeases = 100'000;

  // What an operation leaves to be done without the lock: declare it before the lock is taken.
  struct Aftermath {
    explicit Aftermath(WatcherList& watchers) : watchers(watchers) {}
    ~Aftermath();
    WatcherList& watchers;
    bool events = false;
    std::vector<EntryPtr> removed;  // unmapping takes time
    std::vector<DeviceBlockPtr> removed_blocks;
    std::vector<std::function<void()>> callbacks;
  };

  // What may make room in host memory.
  enum class Eviction : uint8_t {
    kEntries,     // entries, in the tier's order
    kSpareCopies  // bytes that the device has too
  };
  struct Victims {
    std::vector<Bytes16> in_host;    // whose bytes leave host memory: with the entry, where the device has none
    std::vector<Bytes16> on_device;  // that go wholly
    bool empty() const { return in_host.empty() && on_device.empty(); }
  };

  // Evicts until `bytes` of host memory fit. Errors: RESOURCE_EXHAUSTED (BUDGET); then nothing was evicted in vain.
  absl::StatusOr<BudgetShare> MakeRoom(int64_t bytes, Eviction eviction);
  // Their bytes leave host memory: with the entry, where the device has none.
  void EvictFromHost(absl::Span<const Bytes16> entry_ids, Aftermath& after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Empty where all that may go would not do.
  Victims ChooseVictims(int64_t bytes, Eviction eviction) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Tenant& TenantOf(const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  TenantQuota QuotaOf(const std::string& tenant) const {
    return options_.quota_of ? options_.quota_of(tenant) : TenantQuota();
  }
  // Evicts what is the tenant's own until `charged_bytes` more in host memory, of one more entry where the quota limits
  // those, are within it.
  // Errors: RESOURCE_EXHAUSTED (QUOTA_HOST_BYTES, QUOTA_ENTRIES); then nothing was evicted in vain.
  absl::Status MakeRoomInQuota(Tenant& tenant, const TenantQuota& quota, int64_t charged_bytes, Aftermath& after)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Ends leases and removes entries whose time has come. Every operation begins with it, so that nothing below has to
  // look at times.
  void Expire(Aftermath& after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remove(const Bytes16& entry_id, RemovalReason reason, Aftermath& after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AppendEvent(const StoredEntry& stored, StoreEvent event, Aftermath& after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Use(StoredEntry& stored) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What a get serves. Errors: NOT_FOUND (ENTRY_NOT_FOUND).
  absl::StatusOr<StoredEntry*> FindServed(const PromptName& name, const AcceptRule& accept,
                                          const std::optional<Bytes16>& if_entry_id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Null where the bytes are on the device alone: BringToHost, without the lock.
  EntryPtr Hit(StoredEntry& stored, Aftermath& after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // With body where that is in host memory.
  EntryPtr Held(const StoredEntry& stored) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  PlacedEntry Placed(const StoredEntry& stored) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Tier TierOf(const Bytes16& entry_id) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  EntryState StateOf(const StoredEntry& stored) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Lease> PinEntries(const std::string& tenant, std::vector<Bytes16> entry_ids, int64_t duration_ms)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Unpinned(const std::vector<Bytes16>& entry_ids) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetPinned(const Bytes16& entry_id, bool pinned) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FailPut(PutToken token);
  // Adds the entry, serves who waited for it.
  void Insert(std::unique_ptr<StoredEntry> stored, EntryPtr entry, const PromptPath& path, Aftermath& after)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<CommitResult> CommitVerified(PutToken token, EntryIdentity identity, EntryHeader header, Buffer body,
                                              const CommitOptions& options, BudgetShare header_share);
  CommitResult AlreadyStored(StoredEntry& stored, const CommitOptions& options) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TrimOne(StoredEntry& stored, const TrimCondition& condition, TrimResult& result, Aftermath& after)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // --- Moves between tiers ---
  // An entry's copy in one tier goes, the other's remains.
  void DropFromHost(const StoredEntry& stored, Aftermath& after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropFromDevice(const StoredEntry& stored, Aftermath& after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The entry with its bytes in host memory, which are copied there first where they are not. Errors: as Get.
  absl::StatusOr<EntryPtr> BringToHost(const Bytes16& entry_id, Eviction eviction);
  // Evicts of the tenant's own until the entry's bytes are within its quota of host memory. Errors: as MakeRoomInQuota.
  absl::Status MakeRoomForReturn(const StoredEntry& stored, Eviction eviction, Aftermath& after)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Its bytes, copied from the device and verified. Errors: as Get, and INTERNAL: the device is lost.
  absl::StatusOr<EntryPtr> CopyToHost(const EntryPtr& description, const DeviceBlock& block, Buffer::Kind kind,
                                      Eviction eviction);
  // Has the entry copied to the device, by and by, where that has no copy and can ever hold one.
  void WantOnDevice(const StoredEntry& stored, Aftermath& after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether one more copy there is within the tenant's quota.
  bool FitsDeviceQuota(const StoredEntry& stored) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PromoteNext();
  void Promote(const Bytes16& entry_id);
  // Errors: as DevicePool::Allocate.
  absl::StatusOr<DeviceBlock> TakeBlock(int64_t size_bytes, bool may_evict);
  // Takes one entry off the device so that `size_bytes` may fit. False where nothing there may go, or all that may
  // would not do.
  bool EvictFromDevice(int64_t size_bytes);
  // Any error but RESOURCE_EXHAUSTED: drops the device tier.
  void NoteDeviceError(const absl::Status& status);

  const StoreOptions options_;
  const Clock& clock_;
  const DeviceTierOptions device_options_;
  WatcherList watchers_;
  MemoryBudget host_budget_;  // callers give their shares of it back before the store ends

  mutable Mutex mutex_;
  CondVar moved_;  // something arrived in host memory, or did not; or promotion stands still
  ResidentTable<Entry> host_ ABSL_GUARDED_BY(mutex_);
  DeviceTier device_ ABSL_GUARDED_BY(mutex_);
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
  int64_t expirations_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<Bytes16> recent_ ABSL_GUARDED_BY(mutex_);  // ids of what was used last, the last one first
  int64_t host_hit_tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t device_hit_tokens_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_ENTRY_STORE_IMPL_H_
