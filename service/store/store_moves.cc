// Moving entries between host memory and the device: device_tier.h says when.
#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/format/record.h"
#include "service/store/entry_store_impl.h"

namespace chunkkv {
namespace {

// An entry read this often is worth another's place on the device; until then it takes only what is free.
constexpr int64_t kHitsThatEvict = 2;

}  // namespace

void EntryStore::Impl::DropFromHost(const StoredEntry& stored, Aftermath& after) {
  after.removed.push_back(host_.Remove(stored.id()));
}

void EntryStore::Impl::DropFromDevice(const StoredEntry& stored, Aftermath& after) {
  after.removed_blocks.push_back(device_.Take(stored));
  host_.Recharge(stored.id(), stored.charged_bytes());
  AppendEvent(stored, {.kind = StoreEvent::Kind::kMoved, .tier = Tier::kHost}, after);
}

absl::StatusOr<EntryPtr> EntryStore::Impl::BringToHost(const Bytes16& entry_id, Eviction eviction) {
  EntryPtr description;
  DeviceBlockPtr block;
  Buffer::Kind kind;
  {
    Aftermath after(watchers_);
    MutexLock lock(mutex_);
    while (device_.leaving().contains(entry_id)) moved_.Wait(mutex_);
    const StoredEntry* const stored = index_.Find(entry_id);
    if (stored == nullptr) return ErrorStatus(absl::StatusCode::kNotFound, "ENTRY_NOT_FOUND", "no such entry");
    if (EntryPtr entry = host_.Find(entry_id)) return entry;
    CHUNKKV_RETURN_IF_ERROR(MakeRoomForReturn(*stored, eviction, after));
    description = stored->description;
    block = device_.Find(entry_id);
    kind = stored->buffer_kind;
    device_.leaving().insert(entry_id);
  }
  absl::StatusOr<EntryPtr> entry = CopyToHost(description, *block, kind, eviction);

  Aftermath after(watchers_);
  after.removed.push_back(std::move(description));
  after.removed_blocks.push_back(std::move(block));
  MutexLock lock(mutex_);
  device_.leaving().erase(entry_id);
  moved_.NotifyAll();
  StoredEntry* const stored = index_.Find(entry_id);
  if (!entry.ok()) {
    // With the device lost, what it alone had is as if it had never been.
    if (stored == nullptr) return ErrorStatus(absl::StatusCode::kNotFound, "ENTRY_NOT_FOUND", "no such entry");
    if (entry.status().code() == absl::StatusCode::kDataLoss) Remove(entry_id, RemovalReason::kDamaged, after);
    return entry;
  }
  if (stored == nullptr) return entry;  // deleted meanwhile: it lives on for who asked before
  // Others of the tenant's may have come meanwhile.
  CHUNKKV_RETURN_IF_ERROR(MakeRoomForReturn(*stored, eviction, after));
  host_.Insert(entry_id, *entry, stored->body_charge_bytes, &TenantOf(stored->identity().tenant));
  host_.SetPinned(entry_id, pins_.IsPinned(entry_id));
  ++device_.counters().returns;
  return entry;
}

absl::Status EntryStore::Impl::MakeRoomForReturn(const StoredEntry& stored, Eviction eviction, Aftermath& after) {
  // What is moved for another's sake goes into free room, and beyond the quota if it must.
  if (eviction == Eviction::kSpareCopies) return absl::OkStatus();
  const std::string& tenant = stored.identity().tenant;
  TenantQuota quota;
  quota.host_bytes = QuotaOf(tenant).host_bytes;
  return MakeRoomInQuota(TenantOf(tenant), quota, stored.body_charge_bytes, after);
}

absl::StatusOr<EntryPtr> EntryStore::Impl::CopyToHost(const EntryPtr& description, const DeviceBlock& block,
                                                      Buffer::Kind kind, Eviction eviction) {
  DeviceStorage& storage = *device_options_.storage;
  CHUNKKV_ASSIGN_OR_RETURN(BudgetShare share, MakeRoom(Buffer::ChargedBytes(block.size_bytes()), eviction));
  CHUNKKV_ASSIGN_OR_RETURN(Buffer body, Buffer::Allocate(block.size_bytes(), std::move(share), kind));
  absl::StatusOr<HostRegistration> registration = storage.Register(body.span());
  const absl::Status status = registration.ok() ? storage.CopyToHost(body.span(), block) : registration.status();
  if (!status.ok()) {
    NoteDeviceError(status);
    return status;
  }
  CHUNKKV_RETURN_IF_ERROR(VerifyBody(description->header(), body.span()));
  if (kind == Buffer::Kind::kShareable) CHUNKKV_RETURN_IF_ERROR(body.Seal());
  return std::make_shared<const Entry>(*description, std::move(body), *std::move(registration));
}

void EntryStore::Impl::WantOnDevice(const StoredEntry& stored, Aftermath& after) {
  if (device_options_.storage == nullptr || device_.is_lost() || device_.Has(stored.id())) return;
  const int64_t size_bytes = stored.header().BodyBytes();
  if (size_bytes == 0 || size_bytes > device_options_.storage->pool().limit_bytes()) return;
  if (!FitsDeviceQuota(stored)) return;
  if (!device_.wanted().Push(stored.id())) return;
  after.callbacks.push_back([this] { device_options_.post([this] { PromoteNext(); }); });
}

bool EntryStore::Impl::FitsDeviceQuota(const StoredEntry& stored) {
  const std::string& tenant = stored.identity().tenant;
  const std::optional<int64_t> quota_bytes = QuotaOf(tenant).device_bytes;
  if (!quota_bytes.has_value()) return true;
  const int64_t more_bytes = DevicePool::ChargedBytes(stored.header().BodyBytes());
  return device_.charged_bytes_of(&TenantOf(tenant)) + more_bytes <= *quota_bytes;
}

void EntryStore::Impl::PromoteNext() {
  std::optional<Bytes16> entry_id;
  {
    MutexLock lock(mutex_);
    entry_id = device_.wanted().Take();
    if (!entry_id.has_value()) return moved_.NotifyAll();
  }
  Promote(*entry_id);
  // One a task, so that others get their turn.
  device_options_.post([this] { PromoteNext(); });
}

void EntryStore::Impl::Promote(const Bytes16& entry_id) {
  EntryPtr entry;
  bool may_evict = false;
  {
    Aftermath after(watchers_);
    MutexLock lock(mutex_);
    Expire(after);
    entry = host_.Find(entry_id);
    if (entry == nullptr || device_.is_lost() || device_.Has(entry_id)) return;
    const StoredEntry& stored = *index_.Find(entry_id);
    // Others of the tenant's may have come to the device since this one was wanted; none does while this one goes.
    if (!FitsDeviceQuota(stored)) return;
    may_evict = stored.hit_count >= kHitsThatEvict;
  }
  absl::StatusOr<DeviceBlock> block = TakeBlock(entry->header().BodyBytes(), may_evict);
  if (!block.ok()) return;
  if (!VerifyBody(entry->header(), entry->body()).ok()) return ReportDamaged(entry);
  if (const absl::Status status = device_options_.storage->CopyToDevice(*block, entry->body()); !status.ok()) {
    return NoteDeviceError(status);
  }
  auto copy = std::make_shared<const DeviceBlock>(*std::move(block));

  Aftermath after(watchers_);
  after.removed.push_back(std::move(entry));
  MutexLock lock(mutex_);
  StoredEntry* const stored = index_.Find(entry_id);
  if (stored == nullptr || device_.is_lost()) return after.removed_blocks.push_back(std::move(copy));
  device_.Add(*stored, std::move(copy), &TenantOf(stored->identity().tenant));
  device_.SetPinned(entry_id, pins_.IsPinned(entry_id));
  host_.Recharge(entry_id, stored->body_charge_bytes);
  AppendEvent(*stored, {.kind = StoreEvent::Kind::kMoved, .tier = Tier::kDevice}, after);
}

absl::StatusOr<DeviceBlock> EntryStore::Impl::TakeBlock(int64_t size_bytes, bool may_evict) {
  while (true) {
    absl::StatusOr<DeviceBlock> block = device_options_.storage->pool().Allocate(size_bytes);
    if (block.ok()) return block;
    NoteDeviceError(block.status());
    if (block.status().code() != absl::StatusCode::kResourceExhausted) return block;
    if (!may_evict || !EvictFromDevice(size_bytes)) return block;
  }
}

bool EntryStore::Impl::EvictFromDevice(int64_t size_bytes) {
  Bytes16 victim{};
  {
    Aftermath after(watchers_);
    MutexLock lock(mutex_);
    int64_t freed_bytes = device_options_.storage->pool().limit_bytes() - device_.charged_bytes();
    bool has_victim = false;
    device_.VisitVictims([&](const Bytes16& entry_id, int64_t charged_bytes) {
      if (!std::exchange(has_victim, true)) victim = entry_id;
      freed_bytes += charged_bytes;
      return freed_bytes < size_bytes;
    });
    if (!has_victim || freed_bytes < size_bytes) return false;
    if (host_.Has(victim)) {
      ++device_.counters().evictions;
      DropFromDevice(*index_.Find(victim), after);
      return true;
    }
  }
  const absl::StatusOr<EntryPtr> entry = BringToHost(victim, Eviction::kSpareCopies);
  Aftermath after(watchers_);
  MutexLock lock(mutex_);
  StoredEntry* const stored = index_.Find(victim);
  if (stored == nullptr || !device_.Has(victim)) return true;  // gone by itself
  if (!entry.ok()) return false;
  ++device_.counters().evictions;
  ++device_.counters().demotions;
  DropFromDevice(*stored, after);
  return true;
}

void EntryStore::Impl::NoteDeviceError(const absl::Status& status) {
  if (status.code() == absl::StatusCode::kResourceExhausted) return;
  Aftermath after(watchers_);
  MutexLock lock(mutex_);
  if (device_.is_lost()) return;
  device_.counters().failure = status;
  device_.wanted().Close();
  for (const Bytes16& entry_id : device_.Ids()) {
    if (host_.Has(entry_id)) {
      DropFromDevice(*index_.Find(entry_id), after);
    } else {
      Remove(entry_id, RemovalReason::kLost, after);
    }
  }
  if (device_options_.lost) after.callbacks.push_back([this, status] { device_options_.lost(status); });
}

void EntryStore::Impl::StopPromoting() {
  MutexLock lock(mutex_);
  device_.wanted().Close();
  while (device_.wanted().is_attended()) moved_.Wait(mutex_);
}

}  // namespace chunkkv
