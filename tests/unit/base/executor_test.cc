#include "service/base/executor.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace chunkkv {
namespace {

TEST(ExecutorTest, RunsPostedTasksInOrderOnOneThread) {
  std::vector<int> order;
  {
    Executor executor(1);
    for (int i = 0; i < 100; ++i) executor.Post([&order, i] { order.push_back(i); });
  }
  ASSERT_EQ(order.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[i], i);
}

TEST(ExecutorTest, RunsWhatWasPostedBeforeItEnds) {
  std::atomic<int> ran = 0;
  {
    Executor executor(3);
    for (int i = 0; i < 1000; ++i) executor.Post([&ran] { ++ran; });
  }
  EXPECT_EQ(ran, 1000);
}

TEST(ExecutorTest, RunsWhatGoesNextBeforeWhatIsWaiting) {
  std::atomic<bool> may_go_on = false;
  std::vector<int> order;
  {
    Executor executor(1);
    std::atomic<bool> is_busy = false;
    executor.Post([&] {
      is_busy = true;
      is_busy.notify_all();
      may_go_on.wait(false);
    });
    is_busy.wait(false);
    executor.Post([&order] { order.push_back(2); });
    executor.PostNext([&order] { order.push_back(1); });
    may_go_on = true;
    may_go_on.notify_all();
  }
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(ExecutorTest, RunsEveryIndexOnce) {
  Executor executor(3);
  for (const size_t count : {0, 1, 2, 3, 7, 1023}) {
    std::vector<std::atomic<int>> ran(count);
    executor.RunParallel(count, [&](size_t i) { ++ran[i]; });
    for (const auto& times : ran) EXPECT_EQ(times, 1);
  }
}

TEST(ExecutorTest, RunsInParallelFromItsOwnTasksWhenAllThreadsDo) {
  std::atomic<int> ran = 0;
  {
    Executor executor(2);
    for (int task = 0; task < 8; ++task) {
      executor.Post([&] { executor.RunParallel(5, [&](size_t) { executor.RunParallel(3, [&](size_t) { ++ran; }); }); });
    }
  }
  EXPECT_EQ(ran, 8 * 5 * 3);
}

TEST(ExecutorTest, UsesOtherThreadsWhenTheCallerIsBusy) {
  Executor executor(1);
  std::atomic<int> started = 0;
  // Neither index ends before the other has begun: two threads have to take part.
  executor.RunParallel(2, [&](size_t) {
    ++started;
    while (started < 2) std::this_thread::yield();
  });
  EXPECT_EQ(started, 2);
}

}  // namespace
}  // namespace chunkkv
