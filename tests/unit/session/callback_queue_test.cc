#include "service/session/callback_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace chunkkv {
namespace {

TEST(CallbackQueueTest, DeliversInOrderWithoutNesting) {
  CallbackQueue queue;
  std::vector<int> order;
  queue.Push([&] {
    order.push_back(1);
    queue.Push([&] { order.push_back(3); });
    queue.Deliver();  // this thread is delivering already
    order.push_back(2);
  });
  EXPECT_TRUE(order.empty());
  queue.Deliver();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST(CallbackQueueTest, DeliversNothingAfterTheLast) {
  CallbackQueue queue;
  std::vector<int> order;
  queue.Push([&] { order.push_back(1); });
  queue.PushLast([&] { order.push_back(2); });
  queue.Push([&] { order.push_back(3); });
  queue.PushLast([&] { order.push_back(4); });
  queue.Deliver();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(CallbackQueueTest, DropsWhatWaitsWhenClosed) {
  CallbackQueue queue;
  int calls = 0;
  queue.Push([&] { ++calls; });
  queue.Close();
  queue.Push([&] { ++calls; });
  queue.Deliver();
  EXPECT_EQ(calls, 0);
}

TEST(CallbackQueueTest, MayBeClosedByACallback) {
  CallbackQueue queue;
  int calls = 0;
  queue.Push([&] {
    queue.Close();
    ++calls;
  });
  queue.Push([&] { ++calls; });
  queue.Deliver();
  EXPECT_EQ(calls, 1);
}

TEST(CallbackQueueTest, ClosesOnlyWhenNoCallbackRuns) {
  CallbackQueue queue;
  std::atomic<bool> running{false};
  std::atomic<bool> finished{false};
  queue.Push([&] {
    running = true;
    running.notify_all();
    for (int i = 0; i < 1000; ++i) std::this_thread::yield();
    finished = true;
  });
  std::thread deliverer([&] { queue.Deliver(); });
  running.wait(false);
  queue.Close();
  EXPECT_TRUE(finished);
  deliverer.join();
}

}  // namespace
}  // namespace chunkkv
