#include "service/rpc/idle_timer.h"

namespace chunkkv::rpc {

std::shared_ptr<IdleTimer> IdleTimer::Start(Timers& timers, int64_t limit_ms, std::function<void()> on_idle,
                                            std::function<bool()> is_busy) {
  std::shared_ptr<IdleTimer> timer(new IdleTimer(timers, limit_ms, std::move(on_idle), std::move(is_busy)));
  timer->LookAgainIn(limit_ms);
  return timer;
}

void IdleTimer::LookAgainIn(int64_t delay_ms) {
  timers_.Schedule(delay_ms, [weak = weak_from_this()] {
    if (const auto timer = weak.lock()) timer->Look();
  });
}

void IdleTimer::Look() {
  if (stopped_.load(std::memory_order_relaxed)) return;
  if (paused_.load(std::memory_order_acquire) > 0) return LookAgainIn(limit_ms_);
  if (is_busy_ != nullptr && is_busy_()) Touch();
  const int64_t idle_ms = timers_.NowMs() - last_ms_.load(std::memory_order_relaxed);
  if (idle_ms < limit_ms_) return LookAgainIn(limit_ms_ - idle_ms);
  on_idle_();
}

}  // namespace chunkkv::rpc
