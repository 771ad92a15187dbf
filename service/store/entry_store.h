// The entries of one server: an index over identities, prefixes and ids, and the tiers that hold their bytes: host
// memory, and a device's where there is one.
//
// Thread-safe. No lock is held while bytes move: readers hold an EntryPtr. The budget counts entries (their pages, and
// about what their headers and the index take) and the staging of puts in flight. Least recently used entries make
// room; pinned ones and those being read never do. Must outlive every EntryPtr and BudgetShare it gave out.
//
// Puts land in host memory, and gets are served from there. A copy on the device does not take the one in host memory
// away, nor the reverse: while both have room no get waits for a copy, and under pressure each tier lets go by its own
// order, so that together they hold more than either. An entry is lost with its last copy only, and never for the sake
// of another's second one: device_tier.h.
#ifndef CHUNKKV_SERVICE_STORE_ENTRY_STORE_H_
#define CHUNKKV_SERVICE_STORE_ENTRY_STORE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "service/base/clock.h"
#include "service/base/tenant_quota.h"
#include "service/format/prompt_key.h"
#include "service/memory/budget.h"
#include "service/memory/device_storage.h"
#include "service/store/entry.h"

namespace chunkkv {

enum class Tier : uint8_t { kDevice, kHost };

struct StoreOptions {
  int64_t host_budget_bytes = int64_t{1} << 30;
  int64_t max_entry_bytes = int64_t{64} << 30;  // of the body alone
  int64_t max_pin_ms = 3'600'000;
  int64_t max_ttl_ms = int64_t{30} * 24 * 3'600'000;
  size_t watch_history = 4096;  // events kept for watchers that come back
  bool is_shared = false;        // between tenants, of whom none may keep the others from pinning
  // How much a tenant may have. Called from any thread, also under the store's lock; empty: no quotas.
  std::function<TenantQuota(const std::string& tenant)> quota_of;
};

// Bytes that a put in progress counts for its tenant's quota, until this goes. Move-only.
class InFlightShare {
 public:
  InFlightShare() = default;
  InFlightShare(std::shared_ptr<std::atomic<int64_t>> used_bytes, int64_t bytes)
      : used_bytes_(std::move(used_bytes)), bytes_(bytes) {}
  InFlightShare(InFlightShare&&) = default;
  InFlightShare& operator=(InFlightShare&&) = delete;
  ~InFlightShare() {
    if (used_bytes_ != nullptr) *used_bytes_ -= bytes_;
  }

 private:
  std::shared_ptr<std::atomic<int64_t>> used_bytes_;
  int64_t bytes_ = 0;
};

// The device tier of a store that has one.
struct DeviceTierOptions {
  std::unique_ptr<DeviceStorage> storage;  // null: no such tier
  // Runs a task later in another thread. The store must outlive what was given to it.
  std::function<void(std::function<void()>)> post;
  // Called once, without locks held, when the device has failed and its tier is gone for good. May be empty.
  std::function<void(const absl::Status&)> lost;
};

// What a reader accepts among the variants of one prompt.
struct AcceptRule {
  enum class Kind { kExact, kVariant, kLeastLossy };
  Kind kind = Kind::kExact;
  Bytes32 variant{};  // kVariant
};

// A prompt's entries of one model and shard.
struct PromptName {
  std::string tenant;
  Bytes32 fingerprint{};
  Shard shard;
  Bytes32 key{};
  bool operator==(const PromptName&) const = default;
};

// An entry by id or by name (exactly one), as the batch RPCs name it.
struct Selector {
  std::string tenant;
  std::optional<Bytes16> entry_id;
  std::optional<EntryIdentity> identity;
  std::optional<Bytes16> if_entry_id;
};

struct PlacedEntry {
  EntryPtr entry;           // without body where that is on the device alone
  Tier tier = Tier::kHost;  // the fastest that has it
};

struct EntryState : PlacedEntry {
  int64_t last_used_unix_ms = 0;
  int64_t pinned_until_unix_ms = 0;  // 0: not pinned
  int64_t hit_count = 0;
};

struct Lease {
  Bytes16 id{};
  int64_t expires_unix_ms = 0;
};

struct CommitOptions {
  int64_t pin_ms = 0;
};

struct CommitResult {
  EntryPtr entry;               // the one that is stored now; as PlacedEntry's
  bool already_stored = false;  // another put of the same identity was first
  std::optional<Lease> pin;     // none where TOO_MANY_PINS are held
};

struct PrefixQuery {
  std::string tenant;
  Bytes32 fingerprint{};
  std::vector<Shard> shards;
  PromptDigests prompt;
  absl::Span<const uint32_t> tokens;  // may be empty: then only whole digests given can match
  absl::Span<const std::string> extra;
  std::optional<AcceptRule> accept;  // unset: most tokens, then least lossy
  int64_t hold_ms = 0;
};

struct PrefixMatch {
  int64_t covered_tokens = 0;
  std::vector<PlacedEntry> entries;  // one a shard, in the order asked; of a common key or, for `full` entries, prefix
  std::optional<Lease> lease;        // pins all of them
};

struct TrimCondition {
  std::string tenant;
  int64_t older_than_ms = 0;  // 0: any
  std::optional<Bytes32> fingerprint;
  std::vector<Bytes32> prefix;  // block digests; empty: any
  bool dry_run = false;
};

struct TrimResult {
  int64_t removed_entries = 0;
  int64_t removed_bytes = 0;
  int64_t pinned_entries = 0;
};

// kLost: the device failed that alone had it.
enum class RemovalReason : uint8_t { kDeleted, kEvicted, kExpired, kDamaged, kLost };

struct StoreEvent {
  // kMoved: the fastest tier that has the entry is another now.
  enum class Kind : uint8_t { kStored, kRemoved, kMoved };
  int64_t sequence = 0;
  Kind kind = Kind::kStored;
  RemovalReason reason = RemovalReason::kDeleted;  // kRemoved
  Tier tier = Tier::kHost;                         // since then; kRemoved: before
  EntryPtr entry = nullptr;                        // header only is meant to be read
};

struct TenantStats {
  int64_t entries = 0;
  int64_t entry_bytes = 0;
  int64_t hit_tokens = 0;
  int64_t miss_tokens = 0;
  int64_t puts = 0;
  int64_t received_bytes = 0;
  int64_t stored_bytes = 0;
};

struct DeviceTierStats {
  int64_t budget_bytes = 0;
  int64_t used_bytes = 0;   // slabs
  int64_t entry_bytes = 0;  // in them
  int64_t entries = 0;
  int64_t evictions = 0;   // entries that made room
  int64_t demotions = 0;   // those of them that were moved to host memory
  int64_t promotions = 0;  // copied to the device
  int64_t returns = 0;     // copied back to host memory, demotions among them
  absl::Status failure;    // why the tier is gone
};

struct StoreStats {
  int64_t budget_bytes = 0;  // of the host tier
  int64_t used_bytes = 0;    // entries and staging
  int64_t entry_bytes = 0;   // charged to entries that are in the index
  int64_t host_entries = 0;
  int64_t evictions = 0;  // from the host tier
  int64_t entries = 0;    // in whatever tier
  std::optional<DeviceTierStats> device;
  int64_t pins = 0;  // leases
  int64_t puts_in_progress = 0;
  int64_t waiters = 0;
  int64_t scrubbed_bytes = 0;
  int64_t damaged_entries = 0;
  // Since the server started, of all tenants.
  int64_t host_hit_tokens = 0;
  int64_t device_hit_tokens = 0;  // of entries that were on the device alone
  int64_t miss_tokens = 0;
  int64_t received_bytes = 0;
  int64_t stored_bytes = 0;
  int64_t expirations = 0;
};

class EntryStore {
 public:
  EntryStore(const StoreOptions& options, const Clock& clock, DeviceTierOptions device = {});
  ~EntryStore();

  // --- Puts ---
  // Whether an entry's body may be this large. Errors: RESOURCE_EXHAUSTED (ENTRY_TOO_LARGE: also above the tenant's
  // quota).
  absl::Status CheckEntrySize(const std::string& tenant, int64_t body_bytes) const;
  // A put of the tenant is about to hold so much. Errors: RESOURCE_EXHAUSTED (QUOTA_IN_FLIGHT).
  absl::StatusOr<InFlightShare> HoldInFlight(const std::string& tenant, int64_t bytes);
  // Bytes of the host tier for a put in flight; evicts unpinned entries to make room.
  // Errors: RESOURCE_EXHAUSTED: ENTRY_TOO_LARGE (can never fit), BUDGET (retry later).
  absl::StatusOr<BudgetShare> Reserve(int64_t bytes);
  // The same of what is free now, evicting nothing. False where it does not fit.
  bool TryReserve(int64_t bytes, BudgetShare* share);

  // Announces a put, so that readers with wait_ms learn how it ends. Every BeginPut is followed by Commit or EndPut of
  // the same token. Several puts of one identity may be in progress.
  using PutToken = uint64_t;
  PutToken BeginPut(const EntryIdentity& identity);
  // The put failed or was abandoned. Waiters get ABORTED (PUT_FAILED) when no other put of the identity is left.
  void EndPut(PutToken token);

  // The entry of this identity, if there is one already: nothing needs to be sent.
  EntryPtr FindStored(const EntryIdentity& identity);

  // Makes the entry visible: first commit wins. Verifies every digest of the header against the body first (errors:
  // DATA_LOSS) and fills in entry_id, created_unix_ms. `ttl` is in header.expires_unix_ms. `header_share`: what was
  // reserved for the header and the index (see OverheadBytes); only what is missing of it is reserved now. Where the
  // tenant's quota is full, its own least recently used entries make room; errors where they may not:
  // RESOURCE_EXHAUSTED (QUOTA_HOST_BYTES, QUOTA_ENTRIES).
  absl::StatusOr<CommitResult> Commit(PutToken token, EntryIdentity identity, EntryHeader header, Buffer body,
                                      const CommitOptions& options, BudgetShare header_share = {});

  // --- Gets ---
  // Errors: NOT_FOUND (ENTRY_NOT_FOUND), the same whether the prompt, the variant or if_entry_id does not match.
  // With if_entry_id: that very entry, where the rule accepts it. Counts a hit of the entry's tokens, or a miss of
  // `miss_tokens` tokens. An entry that is on the device alone is copied to host memory first, which takes time; errors
  // then: RESOURCE_EXHAUSTED (BUDGET: no room for it; QUOTA_HOST_BYTES: none in the tenant's quota), DATA_LOSS (it was
  // damaged there, and is removed).
  absl::StatusOr<EntryPtr> Get(const PromptName& name, const AcceptRule& accept,
                               const std::optional<Bytes16>& if_entry_id, int64_t miss_tokens = 0);
  // Get, of an entry that needs no copying: null where it is on the device alone. Counts no miss, and a hit only of what
  // it gives.
  absl::StatusOr<EntryPtr> GetInHost(const PromptName& name, const AcceptRule& accept,
                                     const std::optional<Bytes16>& if_entry_id);

  // Calls `done` at most once, without locks held: with what Get would give when it is there (perhaps at once, in this
  // thread, before Wait has returned), or ABORTED (PUT_FAILED) when a put of an acceptable identity failed and no other
  // one is in progress. Puts that begin later count too. The caller keeps the time, and ends a wait by CancelWait. A
  // wait that ends without an entry counts a miss of `miss_tokens` tokens: Get, before it, is to count none.
  using WaitId = uint64_t;
  using WaitCallback = std::function<void(absl::StatusOr<EntryPtr>)>;
  WaitId Wait(const PromptName& name, const AcceptRule& accept, WaitCallback done, int64_t miss_tokens = 0);
  // True where `done` had not been called and now never will be.
  bool CancelWait(WaitId id);

  // Removes an entry whose bytes were found damaged while being served; where the device has another copy, that
  // remains.
  void ReportDamaged(const EntryPtr& entry);

  // --- Catalogue ---
  // EXACT entries without VERBATIM layers serve any prefix in whole blocks; every other entry only prompts that begin
  // with all of its own. Counts tokens that are not covered as missed. Errors: NOT_FOUND (PREFIX_NOT_FOUND),
  // INVALID_ARGUMENT (BAD_HOLD: beyond the limit, BAD_BLOCK_DIGESTS, BAD_SHARD), RESOURCE_EXHAUSTED (TOO_MANY_PINS).
  absl::StatusOr<PrefixMatch> FindLongestPrefix(const PrefixQuery& query);
  absl::StatusOr<EntryState> Describe(const Selector& selector);
  // Entries with an id above `after` in the order of ids; `fingerprint` filters.
  std::vector<EntryState> List(const std::string& tenant, const std::optional<Bytes32>& fingerprint,
                               const std::optional<Bytes16>& after, size_t limit);
  // Of all tenants, the few that were used last, the last one first.
  std::vector<EntryState> Recent();
  // The longest that an entry of the tenant may be pinned or held.
  int64_t MaxPinMs(const std::string& tenant) const;
  absl::StatusOr<Lease> Pin(const Selector& selector, int64_t duration_ms);
  absl::Status Unpin(const std::string& tenant, const Bytes16& lease_id);
  // Errors: NOT_FOUND, FAILED_PRECONDITION (PINNED).
  absl::Status Delete(const Selector& selector);
  TrimResult Trim(const TrimCondition& condition);

  // --- Watching ---
  // Events after `sequence`, at most `limit`; empty result with `*gap` set where they are no longer kept: take a
  // Snapshot. `wake` is called (from any thread, without locks held) when there is something new; RemoveWatcher
  // returns when it is not running and never will again (never call it from within `wake`). Numbers are a tenant's own.
  // The entries of events and snapshots have a header without kept positions, and no body.
  using WatcherId = uint64_t;
  WatcherId AddWatcher(std::function<void()> wake);
  void RemoveWatcher(WatcherId id);
  std::vector<StoreEvent> EventsAfter(const std::string& tenant, int64_t sequence, size_t limit, int64_t* last_sequence,
                                      bool* gap);
  std::vector<PlacedEntry> Snapshot(const std::string& tenant, int64_t* sequence);

  // --- Upkeep, called by the server's timer ---
  // Removes what has expired; ends leases.
  void ExpireNow();
  // Verifies the digests of `bytes` bytes of entries, going round; damaged entries are removed and counted. Tensors are
  // verified whole: what that is too much is left out of the next calls. Copies on the device are verified when they
  // leave it.
  void Scrub(int64_t bytes);

  // From now on nothing is copied to the device any more; returns when nothing is being copied there.
  void StopPromoting();

  void CountPut(const std::string& tenant, int64_t received_bytes, int64_t stored_bytes);
  StoreStats Stats() const;
  TenantStats StatsOf(const std::string& tenant) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_ENTRY_STORE_H_
