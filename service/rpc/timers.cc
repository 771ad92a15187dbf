#include "service/rpc/timers.h"

#include <algorithm>
#include <chrono>
#include <limits>

namespace chunkkv::rpc {
namespace {

constexpr int64_t kFakeClockPollMs = 2;
constexpr int64_t kLongestSleepMs = 60'000;

}  // namespace

Timers::Timers(const Clock& clock)
    : clock_(clock), is_system_clock_(&clock == &Clock::System()), thread_([this] { Run(); }) {}

Timers::~Timers() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyOne();
  thread_.join();
}

Timers::Id Timers::Schedule(int64_t delay_ms, std::function<void()> call) {
  const int64_t now_ms = clock_.MonotonicMs();
  const int64_t due_ms = now_ms + std::clamp<int64_t>(delay_ms, 0, std::numeric_limits<int64_t>::max() - now_ms);
  Id id;
  {
    MutexLock lock(mutex_);
    id = {due_ms, ++last_order_};
    calls_.emplace(id, std::move(call));
  }
  changed_.NotifyOne();
  return id;
}

bool Timers::Cancel(const Id& id) {
  // What the call holds is released outside the lock.
  std::function<void()> dropped;
  MutexLock lock(mutex_);
  const auto found = calls_.find(id);
  if (found == calls_.end()) return false;
  dropped = std::move(found->second);
  calls_.erase(found);
  return true;
}

void Timers::Run() {
  while (true) {
    std::function<void()> call;
    {
      MutexLock lock(mutex_);
      while (true) {
        if (stopping_) return;
        const int64_t now_ms = clock_.MonotonicMs();
        if (!calls_.empty() && calls_.begin()->first.first <= now_ms) break;
        int64_t sleep_ms = calls_.empty() ? kLongestSleepMs : calls_.begin()->first.first - now_ms;
        sleep_ms = std::min(sleep_ms, is_system_clock_ ? kLongestSleepMs : kFakeClockPollMs);
        changed_.WaitFor(mutex_, std::chrono::milliseconds(sleep_ms));
      }
      call = std::move(calls_.begin()->second);
      calls_.erase(calls_.begin());
    }
    call();
  }
}

}  // namespace chunkkv::rpc
