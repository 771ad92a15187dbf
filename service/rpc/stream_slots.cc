#include "service/rpc/stream_slots.h"

#include <string_view>
#include <utility>

#include "chunkkv/kernels/status.h"

namespace chunkkv::rpc {

StreamSlot& StreamSlot::operator=(StreamSlot&& other) noexcept {
  if (this == &other) return *this;
  Release();
  slots_ = std::exchange(other.slots_, nullptr);
  kind_ = other.kind_;
  tenant_ = std::move(other.tenant_);
  return *this;
}

void StreamSlot::Release() {
  if (slots_ != nullptr) std::exchange(slots_, nullptr)->Release(kind_, tenant_);
}

absl::StatusOr<StreamSlot> StreamSlots::Take(StreamKind kind, const std::string& tenant, std::optional<int64_t> quota) {
  const auto refusal = [](std::string_view reason, std::string_view owner, int64_t limit) {
    return ErrorStatus(absl::StatusCode::kResourceExhausted, reason,
                       std::string(owner) + " has " + std::to_string(limit) + " streams open, its limit");
  };
  MutexLock lock(mutex_);
  if (draining_ && kind != StreamKind::kPut) return Draining();
  if (of_tenants_.total() >= of_tenants_.limit()) {
    return refusal("TOO_MANY_STREAMS", "the server", of_tenants_.limit());
  }
  const int64_t own = of_tenants_.Of(tenant);
  if (quota.has_value() && own >= *quota) return refusal("QUOTA_STREAMS", "the tenant", *quota);
  const int64_t part = of_tenants_.LimitOf(tenant);
  if (own >= part) return refusal("TOO_MANY_STREAMS", "the tenant", part);
  ++counts_[static_cast<int>(kind)];
  of_tenants_.Add(tenant);
  return StreamSlot(this, kind, tenant);
}

int64_t StreamSlots::Count(StreamKind kind) const {
  MutexLock lock(mutex_);
  return counts_[static_cast<int>(kind)];
}

void StreamSlots::Drain() {
  std::map<StopId, std::function<void()>> stops;
  {
    MutexLock lock(mutex_);
    draining_ = true;
    stops.swap(stops_);
  }
  for (const auto& [id, stop] : stops) stop();
}

absl::Status StreamSlots::Draining() {
  return ErrorStatus(absl::StatusCode::kUnavailable, "DRAINING", "the server is shutting down");
}

bool StreamSlots::draining() const {
  MutexLock lock(mutex_);
  return draining_;
}

StreamSlots::StopId StreamSlots::AddStop(std::function<void()> stop) {
  {
    MutexLock lock(mutex_);
    if (!draining_) {
      stops_.emplace(++last_stop_, std::move(stop));
      return last_stop_;
    }
  }
  stop();
  return 0;
}

void StreamSlots::RemoveStop(StopId id) {
  MutexLock lock(mutex_);
  stops_.erase(id);
}

bool StreamSlots::WaitUntilIdle(std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(mutex_);
  while (Working() > 0) {
    const auto left = end - std::chrono::steady_clock::now();
    if (left <= left.zero()) return false;
    fewer_.WaitFor(mutex_, left);
  }
  return true;
}

void StreamSlots::WaitUntilNone() {
  MutexLock lock(mutex_);
  while (of_tenants_.total() > 0) fewer_.Wait(mutex_);
}

void StreamSlots::Release(StreamKind kind, const std::string& tenant) {
  MutexLock lock(mutex_);
  --counts_[static_cast<int>(kind)];
  of_tenants_.Remove(tenant);
  if (Working() == 0) fewer_.NotifyAll();
}

}  // namespace chunkkv::rpc
