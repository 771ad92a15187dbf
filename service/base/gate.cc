#include "service/base/gate.h"

namespace chunkkv {

Gate::Pass& Gate::Pass::operator=(Pass&& other) noexcept {
  if (this != &other) {
    Leave();
    gate_ = std::move(other.gate_);
  }
  return *this;
}

void Gate::Pass::Leave() {
  if (gate_ != nullptr) std::exchange(gate_, nullptr)->Leave();
}

Gate::Pass Gate::Enter() {
  MutexLock lock(mutex_);
  if (is_closed()) return Pass();
  ++inside_;
  return Pass(shared_from_this());
}

void Gate::Leave() {
  std::vector<std::function<void()>> waiting;
  {
    MutexLock lock(mutex_);
    if (--inside_ == 0) waiting.swap(waiting_);
  }
  for (const auto& quiet : waiting) quiet();
}

void Gate::Close(std::function<void()> quiet) {
  {
    MutexLock lock(mutex_);
    closed_.store(true, std::memory_order_relaxed);
    if (inside_ > 0) {
      waiting_.push_back(std::move(quiet));
      return;
    }
  }
  quiet();
}

int64_t Gate::inside() const {
  MutexLock lock(mutex_);
  return inside_;
}

}  // namespace chunkkv
