#include "service/rpc/timers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <limits>
#include <vector>

#include "service/rpc/idle_timer.h"
#include "tests/support/fake_clock.h"

namespace chunkkv::rpc {
namespace {

TEST(TimersTest, CallsInOrderOfTimeWhenItHasCome) {
  FakeClock clock;
  Timers timers(clock);
  std::vector<int> calls;
  std::promise<void> done;
  timers.Schedule(30, [&] {
    calls.push_back(3);
    done.set_value();
  });
  timers.Schedule(10, [&] { calls.push_back(1); });
  timers.Schedule(20, [&] { calls.push_back(2); });
  clock.AdvanceMs(30);
  done.get_future().wait();
  EXPECT_EQ(calls, (std::vector<int>{1, 2, 3}));
}

TEST(TimersTest, CancelledCallsAreNotMade) {
  FakeClock clock;
  Timers timers(clock);
  bool called = false;
  std::promise<void> done;
  const Timers::Id id = timers.Schedule(10, [&] { called = true; });
  timers.Schedule(20, [&] { done.set_value(); });
  EXPECT_TRUE(timers.Cancel(id));
  EXPECT_FALSE(timers.Cancel(id));
  clock.AdvanceMs(100);
  done.get_future().wait();
  EXPECT_FALSE(called);
}

TEST(TimersTest, TakesDelaysBeyondTheEndOfTime) {
  FakeClock clock;
  Timers timers(clock);
  const Timers::Id id = timers.Schedule(std::numeric_limits<int64_t>::max(), [] {});
  EXPECT_EQ(id.first, std::numeric_limits<int64_t>::max());
}

TEST(TimersTest, FollowsTheSystemClock) {
  Timers timers(Clock::System());
  std::promise<void> done;
  timers.Schedule(1, [&] { done.set_value(); });
  done.get_future().wait();
}

TEST(IdleTimerTest, CallsOnceWhenNothingHappened) {
  FakeClock clock;
  Timers timers(clock);
  std::promise<void> idle;
  const auto timer = IdleTimer::Start(timers, 100, [&] { idle.set_value(); });
  clock.AdvanceMs(100);
  idle.get_future().wait();
}

TEST(IdleTimerTest, CountsFromTheLastTouch) {
  FakeClock clock;
  Timers timers(clock);
  std::atomic<bool> is_idle{false};
  const auto timer = IdleTimer::Start(timers, 100, [&] { is_idle = true; });
  for (int i = 0; i < 10; ++i) {
    clock.AdvanceMs(60);
    timer->Touch();
    // Whatever was due has been looked at once this has been called.
    std::promise<void> looked;
    timers.Schedule(0, [&] { looked.set_value(); });
    looked.get_future().wait();
  }
  EXPECT_FALSE(is_idle);
}

TEST(IdleTimerTest, DoesNotCountWhilePaused) {
  FakeClock clock;
  Timers timers(clock);
  std::atomic<bool> is_idle{false};
  const auto timer = IdleTimer::Start(timers, 100, [&] { is_idle = true; });
  timer->Pause();
  clock.AdvanceMs(1000);
  std::promise<void> looked;
  timers.Schedule(0, [&] { looked.set_value(); });
  looked.get_future().wait();
  timer->Resume();
  EXPECT_FALSE(is_idle);
}

TEST(IdleTimerTest, BeginsAnewWhileItsOwnerIsBusy) {
  FakeClock clock;
  Timers timers(clock);
  std::atomic<bool> is_busy{true};
  std::promise<void> idle;
  std::atomic<bool> is_idle{false};
  const auto timer = IdleTimer::Start(
      timers, 100,
      [&] {
        is_idle = true;
        idle.set_value();
      },
      [&] { return is_busy.load(); });
  clock.AdvanceMs(100);
  std::promise<void> looked;
  timers.Schedule(0, [&] { looked.set_value(); });
  looked.get_future().wait();
  EXPECT_FALSE(is_idle);
  is_busy = false;
  clock.AdvanceMs(99);
  std::promise<void> looked_again;
  timers.Schedule(0, [&] { looked_again.set_value(); });
  looked_again.get_future().wait();
  EXPECT_FALSE(is_idle);
  clock.AdvanceMs(1);
  idle.get_future().wait();
}

}  // namespace
}  // namespace chunkkv::rpc
