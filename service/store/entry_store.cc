// The public face, and what all operations share; the operations themselves are in store_puts.cc, store_gets.cc,
// store_catalogue.cc, store_prefix.cc, store_room.cc, store_moves.cc and store_upkeep.cc.
#include "service/store/entry_store.h"

#include <algorithm>
#include <utility>

#include "service/base/status_macros.h"
#include "service/store/entry_store_impl.h"
#include "service/store/header_bytes.h"

namespace chunkkv {
namespace {

constexpr int64_t kMaxEventLogBytes = int64_t{4} << 20;  // a tenant
constexpr size_t kMaxRecent = 16;

}  // namespace

EntryStore::Impl::Aftermath::~Aftermath() {
  removed.clear();
  removed_blocks.clear();
  for (const auto& callback : callbacks) callback();
  if (events) watchers.WakeAll();
}

EntryStore::Impl::~Impl() = default;

Tenant& EntryStore::Impl::TenantOf(const std::string& name) {
  const auto found = tenants_.find(name);
  if (found != tenants_.end()) return found->second;
  // Numbers of an earlier life of this server are below: it cannot have made a thousand events a millisecond.
  return tenants_
      .emplace(name, EventLog(options_.watch_history, kMaxEventLogBytes, std::max<int64_t>(1, clock_.UnixMs()) * 1000))
      .first->second;
}

void EntryStore::Impl::Expire(Aftermath& after) {
  const int64_t now = clock_.MonotonicMs();
  Unpinned(pins_.EndExpired(now));
  while (StoredEntry* const stored = index_.FindExpired(now)) {
    Remove(Bytes16(stored->id()), RemovalReason::kExpired, after);
  }
}

void EntryStore::Impl::Remove(const Bytes16& entry_id, RemovalReason reason, Aftermath& after) {
  const std::unique_ptr<StoredEntry> stored = index_.Remove(entry_id);
  prefixes_.Remove(stored.get());
  pins_.ForgetEntry(entry_id);
  AppendEvent(*stored, {.kind = StoreEvent::Kind::kRemoved, .reason = reason, .tier = TierOf(entry_id)}, after);
  after.removed.push_back(host_.Remove(entry_id));
  after.removed.push_back(std::move(stored->description));
  after.removed_blocks.push_back(device_.Take(*stored));
  TenantStats& counters = TenantOf(stored->identity().tenant).counters;
  --counters.entries;
  counters.entry_bytes -= stored->charged_bytes();
  if (reason == RemovalReason::kEvicted) ++evictions_;
  if (reason == RemovalReason::kDamaged) ++damaged_entries_;
  if (reason == RemovalReason::kExpired) ++expirations_;
}

void EntryStore::Impl::AppendEvent(const StoredEntry& stored, StoreEvent event, Aftermath& after) {
  event.entry = stored.card;
  TenantOf(stored.identity().tenant).events.Append(std::move(event), HeaderBytes(stored.header()));
  after.events = true;
}

void EntryStore::Impl::Use(StoredEntry& stored) {
  stored.last_used_monotonic_ms = clock_.MonotonicMs();
  stored.last_used_unix_ms = clock_.UnixMs();
  std::erase(recent_, stored.id());
  recent_.push_front(stored.id());
  if (recent_.size() > kMaxRecent) recent_.pop_back();
  host_.Touch(stored.id());
  device_.Touch(stored.id());
}

EntryPtr EntryStore::Impl::Hit(StoredEntry& stored, Aftermath& after) {
  Use(stored);
  ++stored.hit_count;
  const int64_t tokens = stored.header().token_count;
  TenantOf(stored.identity().tenant).counters.hit_tokens += tokens;
  (host_.Has(stored.id()) ? host_hit_tokens_ : device_hit_tokens_) += tokens;
  WantOnDevice(stored, after);
  return host_.Find(stored.id());
}

EntryPtr EntryStore::Impl::Held(const StoredEntry& stored) const {
  EntryPtr entry = host_.Find(stored.id());
  return entry != nullptr ? entry : stored.description;
}

Tier EntryStore::Impl::TierOf(const Bytes16& entry_id) const {
  return device_.Has(entry_id) ? Tier::kDevice : Tier::kHost;
}

PlacedEntry EntryStore::Impl::Placed(const StoredEntry& stored) const { return {Held(stored), TierOf(stored.id())}; }

EntryState EntryStore::Impl::StateOf(const StoredEntry& stored) const {
  return {Placed(stored), stored.last_used_unix_ms, pins_.PinnedUntilUnixMs(stored.id()), stored.hit_count};
}

absl::StatusOr<Lease> EntryStore::Impl::PinEntries(const std::string& tenant, std::vector<Bytes16> entry_ids,
                                                   int64_t duration_ms) {
  CHUNKKV_RETURN_IF_ERROR(pins_.CheckRoom(tenant));
  for (const Bytes16& entry_id : entry_ids) SetPinned(entry_id, true);
  return pins_.Add(tenant, std::move(entry_ids), duration_ms, clock_);
}

int64_t EntryStore::Impl::MaxPinMs(const std::string& tenant) const {
  return std::min(options_.max_pin_ms, QuotaOf(tenant).max_pin_ms.value_or(options_.max_pin_ms));
}

void EntryStore::Impl::Unpinned(const std::vector<Bytes16>& entry_ids) {
  for (const Bytes16& entry_id : entry_ids) SetPinned(entry_id, false);
}

void EntryStore::Impl::SetPinned(const Bytes16& entry_id, bool pinned) {
  host_.SetPinned(entry_id, pinned);
  device_.SetPinned(entry_id, pinned);
}

EntryStore::EntryStore(const StoreOptions& options, const Clock& clock, DeviceTierOptions device)
    : impl_(std::make_unique<Impl>(options, clock, std::move(device))) {}
EntryStore::~EntryStore() = default;

absl::Status EntryStore::CheckEntrySize(const std::string& tenant, int64_t body_bytes) const {
  return impl_->CheckEntrySize(tenant, body_bytes);
}
absl::StatusOr<InFlightShare> EntryStore::HoldInFlight(const std::string& tenant, int64_t bytes) {
  return impl_->HoldInFlight(tenant, bytes);
}
absl::StatusOr<BudgetShare> EntryStore::Reserve(int64_t bytes) { return impl_->Reserve(bytes); }
bool EntryStore::TryReserve(int64_t bytes, BudgetShare* share) { return impl_->TryReserve(bytes, share); }
EntryStore::PutToken EntryStore::BeginPut(const EntryIdentity& identity) { return impl_->BeginPut(identity); }
void EntryStore::EndPut(PutToken token) { impl_->EndPut(token); }
EntryPtr EntryStore::FindStored(const EntryIdentity& identity) { return impl_->FindStored(identity); }
absl::StatusOr<CommitResult> EntryStore::Commit(PutToken token, EntryIdentity identity, EntryHeader header, Buffer body,
                                                const CommitOptions& options, BudgetShare header_share) {
  return impl_->Commit(token, std::move(identity), std::move(header), std::move(body), options,
                       std::move(header_share));
}
absl::StatusOr<EntryPtr> EntryStore::Get(const PromptName& name, const AcceptRule& accept,
                                         const std::optional<Bytes16>& if_entry_id, int64_t miss_tokens) {
  return impl_->Get(name, accept, if_entry_id, miss_tokens);
}
absl::StatusOr<EntryPtr> EntryStore::GetInHost(const PromptName& name, const AcceptRule& accept,
                                               const std::optional<Bytes16>& if_entry_id) {
  return impl_->GetInHost(name, accept, if_entry_id);
}
EntryStore::WaitId EntryStore::Wait(const PromptName& name, const AcceptRule& accept, WaitCallback done,
                                    int64_t miss_tokens) {
  return impl_->Wait(name, accept, std::move(done), miss_tokens);
}
bool EntryStore::CancelWait(WaitId id) { return impl_->CancelWait(id); }
void EntryStore::ReportDamaged(const EntryPtr& entry) { impl_->ReportDamaged(entry); }
absl::StatusOr<PrefixMatch> EntryStore::FindLongestPrefix(const PrefixQuery& query) {
  return impl_->FindLongestPrefix(query);
}
absl::StatusOr<EntryState> EntryStore::Describe(const Selector& selector) { return impl_->Describe(selector); }
std::vector<EntryState> EntryStore::List(const std::string& tenant, const std::optional<Bytes32>& fingerprint,
                                         const std::optional<Bytes16>& after, size_t limit) {
  return impl_->List(tenant, fingerprint, after, limit);
}
std::vector<EntryState> EntryStore::Recent() { return impl_->Recent(); }
int64_t EntryStore::MaxPinMs(const std::string& tenant) const { return impl_->MaxPinMs(tenant); }
absl::StatusOr<Lease> EntryStore::Pin(const Selector& selector, int64_t duration_ms) {
  return impl_->Pin(selector, duration_ms);
}
absl::Status EntryStore::Unpin(const std::string& tenant, const Bytes16& lease_id) {
  return impl_->Unpin(tenant, lease_id);
}
absl::Status EntryStore::Delete(const Selector& selector) { return impl_->Delete(selector); }
TrimResult EntryStore::Trim(const TrimCondition& condition) { return impl_->Trim(condition); }
EntryStore::WatcherId EntryStore::AddWatcher(std::function<void()> wake) { return impl_->AddWatcher(std::move(wake)); }
void EntryStore::RemoveWatcher(WatcherId id) { impl_->RemoveWatcher(id); }
std::vector<StoreEvent> EntryStore::EventsAfter(const std::string& tenant, int64_t sequence, size_t limit,
                                                int64_t* last_sequence, bool* gap) {
  return impl_->EventsAfter(tenant, sequence, limit, last_sequence, gap);
}
std::vector<PlacedEntry> EntryStore::Snapshot(const std::string& tenant, int64_t* sequence) {
  return impl_->Snapshot(tenant, sequence);
}
void EntryStore::ExpireNow() { impl_->ExpireNow(); }
void EntryStore::Scrub(int64_t bytes) { impl_->Scrub(bytes); }
void EntryStore::StopPromoting() { impl_->StopPromoting(); }
void EntryStore::CountPut(const std::string& tenant, int64_t received_bytes, int64_t stored_bytes) {
  impl_->CountPut(tenant, received_bytes, stored_bytes);
}
StoreStats EntryStore::Stats() const { return impl_->Stats(); }
TenantStats EntryStore::StatsOf(const std::string& tenant) const { return impl_->StatsOf(tenant); }

}  // namespace chunkkv
