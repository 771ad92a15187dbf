#include "service/rpc/stream_slots.h"

#include <utility>

#include "chunkkv/kernels/status.h"

namespace chunkkv::rpc {

StreamSlot& StreamSlot::operator=(StreamSlot&& other) noexcept {
  if (this == &other) return *this;
  Release();
  slots_ = std::exchange(other.slots_, nullptr);
  kind_ = other.kind_;
  return *this;
}

void StreamSlot::Release() {
  if (slots_ != nullptr) std::exchange(slots_, nullptr)->Release(kind_);
}

absl::StatusOr<StreamSlot> StreamSlots::Take(StreamKind kind) {
  MutexLock lock(mutex_);
  if (draining_ && kind != StreamKind::kPut) return Draining();
  if (Total() >= max_streams_) {
    return ErrorStatus(absl::StatusCode::kResourceExhausted, "TOO_MANY_STREAMS",
                       "the server has " + std::to_string(max_streams_) + " streams open, its limit");
  }
  ++counts_[static_cast<int>(kind)];
  return StreamSlot(this, kind);
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
  while (Total() > 0) fewer_.Wait(mutex_);
}

void StreamSlots::Release(StreamKind kind) {
  MutexLock lock(mutex_);
  --counts_[static_cast<int>(kind)];
  if (Working() == 0) fewer_.NotifyAll();
}

}  // namespace chunkkv::rpc
