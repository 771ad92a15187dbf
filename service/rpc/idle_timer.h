// Notices that nothing has happened for a while.
#ifndef CHUNKKV_SERVICE_RPC_IDLE_TIMER_H_
#define CHUNKKV_SERVICE_RPC_IDLE_TIMER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "service/rpc/timers.h"

namespace chunkkv::rpc {

// Thread-safe.
class IdleTimer : public std::enable_shared_from_this<IdleTimer> {
 public:
  // `on_idle` is called once, on the timers' thread, when `limit_ms` have passed without a Touch, unless the timer has
  // been dropped or stopped. Whoever is concerned is best held weakly by it. While `is_busy` says so (null: never) it
  // is not the client that is waited for, and the limit begins anew.
  static std::shared_ptr<IdleTimer> Start(Timers& timers, int64_t limit_ms, std::function<void()> on_idle,
                                          std::function<bool()> is_busy = nullptr);

  void Touch() { last_ms_.store(timers_.NowMs(), std::memory_order_relaxed); }
  // While paused, time does not count: it is not the client that is waited for. Pauses nest. What was done before
  // Resume is seen by `is_busy` and `on_idle`.
  void Pause() { paused_.fetch_add(1, std::memory_order_relaxed); }
  void Resume() {
    Touch();
    paused_.fetch_sub(1, std::memory_order_release);
  }
  void Stop() { stopped_.store(true, std::memory_order_relaxed); }

 private:
  IdleTimer(Timers& timers, int64_t limit_ms, std::function<void()> on_idle, std::function<bool()> is_busy)
      : timers_(timers),
        limit_ms_(limit_ms),
        on_idle_(std::move(on_idle)),
        is_busy_(std::move(is_busy)),
        last_ms_(timers.NowMs()) {}
  void LookAgainIn(int64_t delay_ms);
  void Look();

  Timers& timers_;
  const int64_t limit_ms_;
  const std::function<void()> on_idle_;
  const std::function<bool()> is_busy_;
  std::atomic<int64_t> last_ms_;
  std::atomic<int32_t> paused_{0};
  std::atomic<bool> stopped_{false};
};

// Pauses the timer for as long as it lives. Move-only.
class IdlePause {
 public:
  IdlePause() = default;
  explicit IdlePause(IdleTimer& timer) : timer_(timer.shared_from_this()) { timer_->Pause(); }
  IdlePause(IdlePause&& other) noexcept = default;
  IdlePause& operator=(IdlePause&& other) noexcept {
    timer_.swap(other.timer_);
    return *this;
  }
  ~IdlePause() {
    if (timer_ != nullptr) timer_->Resume();
  }

 private:
  std::shared_ptr<IdleTimer> timer_;
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_IDLE_TIMER_H_
