// Reserving, announcing and committing puts.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/check.h"
#include "service/base/random.h"
#include "service/base/status_macros.h"
#include "service/format/record.h"
#include "service/store/accept_rule.h"
#include "service/store/entry_store_impl.h"
#include "service/store/header_bytes.h"

namespace chunkkv {
namespace {

absl::Status CheckDigestCount(const EntryHeader& header) {
  if (header.block_digests.empty()) return absl::OkStatus();
  const auto count = static_cast<int64_t>(header.block_digests.size());
  if (header.block_size < 1 || header.token_count <= (count - 1) * header.block_size ||
      header.token_count > count * header.block_size) {
    return InvalidArgument("BAD_BLOCK_DIGESTS", absl::StrCat("block_digests: ", count, " blocks of ", header.block_size,
                                                             " tokens do not make ", header.token_count, " tokens"));
  }
  return absl::OkStatus();
}

bool HasVerbatimLayers(const Layout& layout) {
  return std::any_of(layout.begin(), layout.end(), [](const LayerRun& run) { return !run.is_attention(); });
}

// The header without what is large and not shown of an entry that may be gone.
EntryPtr MakeCard(const EntryIdentity& identity, EntryHeader header) {
  std::exchange(header.positions, {});
  std::exchange(header.spec.chunk_starts, {});
  return std::make_shared<const Entry>(identity, std::move(header), Buffer());
}

}  // namespace

absl::Status EntryStore::Impl::CheckEntrySize(const std::string& tenant, int64_t body_bytes) const {
  const int64_t limit_bytes =
      std::min(options_.max_entry_bytes, QuotaOf(tenant).host_bytes.value_or(options_.max_entry_bytes));
  if (body_bytes <= limit_bytes) return absl::OkStatus();
  return ErrorStatus(absl::StatusCode::kResourceExhausted, "ENTRY_TOO_LARGE",
                     absl::StrCat("an entry of ", body_bytes, " bytes is above the limit of ", limit_bytes));
}

absl::StatusOr<InFlightShare> EntryStore::Impl::HoldInFlight(const std::string& tenant, int64_t bytes) {
  std::shared_ptr<std::atomic<int64_t>> used_bytes;
  {
    MutexLock lock(mutex_);
    used_bytes = TenantOf(tenant).in_flight_bytes;
  }
  const int64_t now_bytes = used_bytes->fetch_add(bytes) + bytes;
  InFlightShare share(std::move(used_bytes), bytes);
  const std::optional<int64_t> limit = QuotaOf(tenant).in_flight_bytes;
  if (!limit.has_value() || now_bytes <= *limit) return share;
  return ErrorStatus(absl::StatusCode::kResourceExhausted, "QUOTA_IN_FLIGHT",
                     absl::StrCat("needs ", bytes, " bytes; puts of the tenant may hold ", *limit));
}

absl::StatusOr<BudgetShare> EntryStore::Impl::Reserve(int64_t bytes) {
  if (bytes > host_budget_.limit_bytes()) {
    return ErrorStatus(absl::StatusCode::kResourceExhausted, "ENTRY_TOO_LARGE",
                       absl::StrCat("needs ", bytes, " bytes, more than can ever be had"));
  }
  return MakeRoom(bytes, Eviction::kEntries);
}

EntryStore::PutToken EntryStore::Impl::BeginPut(const EntryIdentity& identity) {
  MutexLock lock(mutex_);
  return puts_.BeginPut(identity);
}

void EntryStore::Impl::EndPut(PutToken token) { FailPut(token); }

void EntryStore::Impl::FailPut(PutToken token) {
  Aftermath after(watchers_);
  MutexLock lock(mutex_);
  for (PutRegistry::Waiter& waiter : puts_.FailPut(token)) {
    TenantOf(waiter.tenant).counters.miss_tokens += waiter.miss_tokens;
    after.callbacks.push_back([done = std::move(waiter.done)] {
      done(ErrorStatus(absl::StatusCode::kAborted, "PUT_FAILED", "the put that was waited for failed"));
    });
  }
}

EntryPtr EntryStore::Impl::FindStored(const EntryIdentity& identity) {
  Aftermath after(watchers_);
  MutexLock lock(mutex_);
  Expire(after);
  StoredEntry* const stored = index_.Find(identity);
  if (stored == nullptr) return nullptr;
  Use(*stored);
  return Held(*stored);
}

absl::StatusOr<CommitResult> EntryStore::Impl::Commit(PutToken token, EntryIdentity identity, EntryHeader header,
                                                      Buffer body, const CommitOptions& options,
                                                      BudgetShare header_share) {
  auto result =
      CommitVerified(token, std::move(identity), std::move(header), std::move(body), options, std::move(header_share));
  if (!result.ok()) FailPut(token);
  return result;
}

absl::StatusOr<CommitResult> EntryStore::Impl::CommitVerified(PutToken token, EntryIdentity identity,
                                                              EntryHeader header, Buffer body,
                                                              const CommitOptions& options, BudgetShare header_share) {
  if (const int64_t most_ms = MaxPinMs(identity.tenant); options.pin_ms < 0 || options.pin_ms > most_ms) {
    return InvalidArgument("BAD_PIN", absl::StrCat("pin_ms must be between 0 and ", most_ms));
  }
  CHUNKKV_RETURN_IF_ERROR(CheckEntrySize(identity.tenant, body.size_bytes()));
  CHUNKKV_RETURN_IF_ERROR(CheckDigestCount(header));
  {
    Aftermath after(watchers_);
    MutexLock lock(mutex_);
    Expire(after);
    if (StoredEntry* const stored = index_.Find(identity)) {
      puts_.EndPut(token);
      return AlreadyStored(*stored, options);
    }
  }
  CHUNKKV_RETURN_IF_ERROR(VerifyBody(header, body.span()));
  if (body.descriptor() >= 0) CHUNKKV_RETURN_IF_ERROR(body.Seal());

  PromptPath path;
  if (!header.block_digests.empty()) {
    Tenant* tenant = nullptr;
    {
      MutexLock lock(mutex_);
      tenant = &TenantOf(identity.tenant);
    }
    tenant->hasher.ExtendNames(header.block_digests, header.block_digests.size(), &path.names);
    path.tail_tokens = static_cast<int32_t>(header.token_count % header.block_size);
    std::exchange(header.block_digests, {});
  }

  header.tenant = identity.tenant;
  header.shard = identity.shard;
  header.key = identity.key;
  header.variant = identity.variant;
  FillRandom(header.entry_id.data(), header.entry_id.size());
  const int64_t now_unix_ms = clock_.UnixMs();
  header.created_unix_ms = now_unix_ms;
  auto stored = std::make_unique<StoredEntry>();
  if (header.expires_unix_ms != 0) {
    const int64_t ttl_ms =
        std::clamp<int64_t>(std::max<int64_t>(0, header.expires_unix_ms) - now_unix_ms, 0, options_.max_ttl_ms);
    header.expires_unix_ms = now_unix_ms + ttl_ms;
    stored->expires_monotonic_ms = clock_.MonotonicMs() + ttl_ms;
  }
  stored->card = MakeCard(identity, header);
  stored->serves_prefixes = header.IsExact() && !HasVerbatimLayers(header.layout);

  const int64_t header_bytes = OverheadBytes(HeaderBytes(header), HeaderBytes(stored->header()), path.names.size());
  if (header_bytes > header_share.bytes()) {
    CHUNKKV_ASSIGN_OR_RETURN(BudgetShare missing, MakeRoom(header_bytes - header_share.bytes(), Eviction::kEntries));
    header_share.Merge(std::move(missing));
  }
  header_share.Shrink(header_share.bytes() - header_bytes);
  stored->body_charge_bytes = Buffer::ChargedBytes(body.size_bytes());
  stored->header_charge_bytes = header_bytes;
  if (body.descriptor() >= 0) stored->buffer_kind = Buffer::Kind::kShareable;
  EntryPtr entry =
      std::make_shared<const Entry>(std::move(identity), std::move(header), std::move(body), std::move(header_share));
  stored->description = std::make_shared<const Entry>(*entry, Buffer());

  Aftermath after(watchers_);
  MutexLock lock(mutex_);
  Expire(after);
  if (StoredEntry* const other = index_.Find(entry->identity())) {
    puts_.EndPut(token);
    after.removed.push_back(std::move(entry));
    return AlreadyStored(*other, options);
  }
  Tenant& tenant = TenantOf(entry->identity().tenant);
  const absl::Status room =
      MakeRoomInQuota(tenant, QuotaOf(entry->identity().tenant), stored->charged_bytes(), after);
  if (!room.ok()) {
    after.removed.push_back(std::move(entry));
    return room;
  }
  puts_.EndPut(token);
  CommitResult result;
  result.entry = entry;
  Insert(std::move(stored), std::move(entry), path, after);
  if (options.pin_ms > 0) {
    auto lease = PinEntries(result.entry->identity().tenant, {result.entry->header().entry_id}, options.pin_ms);
    if (lease.ok()) result.pin = *lease;
  }
  return result;
}

CommitResult EntryStore::Impl::AlreadyStored(StoredEntry& stored, const CommitOptions& options) {
  Use(stored);
  CommitResult result;
  result.entry = Held(stored);
  result.already_stored = true;
  if (options.pin_ms > 0) {
    auto lease = PinEntries(stored.identity().tenant, {stored.id()}, options.pin_ms);
    if (lease.ok()) result.pin = *lease;
  }
  return result;
}

void EntryStore::Impl::Insert(std::unique_ptr<StoredEntry> new_entry, EntryPtr entry, const PromptPath& path,
                              Aftermath& after) {
  StoredEntry& stored = *index_.Insert(std::move(new_entry));
  const EntryHeader& header = stored.header();
  const EntryIdentity& identity = stored.identity();
  Tenant& tenant = TenantOf(identity.tenant);
  host_.Insert(stored.id(), std::move(entry), stored.charged_bytes(), &tenant);
  if (!path.names.empty()) {
    prefixes_.Insert({identity.tenant, identity.fingerprint, identity.shard, header.block_size}, path, &stored);
  }
  Use(stored);
  ++tenant.counters.entries;
  tenant.counters.entry_bytes += stored.charged_bytes();
  AppendEvent(stored, {.kind = StoreEvent::Kind::kStored}, after);
  WantOnDevice(stored, after);
  auto served =
      puts_.TakeWaiters(PromptOf(identity), [&](const AcceptRule& accept) { return Accepts(accept, header); });
  for (PutRegistry::Waiter& waiter : served) {
    after.callbacks.push_back([done = std::move(waiter.done), entry = Hit(stored, after)] { done(entry); });
  }
}

}  // namespace chunkkv
