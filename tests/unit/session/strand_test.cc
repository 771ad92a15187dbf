#include "service/session/strand.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <vector>

namespace chunkkv {
namespace {

TEST(StrandTest, RunsTasksOneAtATimeInOrder) {
  std::vector<int> order;  // without a lock: tsan sees tasks that overlap
  auto executor = std::make_unique<Executor>(4);
  const auto strand = std::make_shared<Strand>(*executor);
  for (int i = 0; i < 1000; ++i) strand->Post([&order, i] { order.push_back(i); });
  executor = nullptr;
  ASSERT_EQ(order.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(order[i], i);
  EXPECT_TRUE(strand->IsIdle());
}

TEST(StrandTest, TakesTasksFromItsOwnTasks) {
  std::vector<int> order;
  auto executor = std::make_unique<Executor>(2);
  const auto strand = std::make_shared<Strand>(*executor);
  strand->Post([&] {
    order.push_back(1);
    EXPECT_FALSE(strand->IsIdle());
    strand->Post([&] { order.push_back(3); });
    order.push_back(2);
  });
  executor = nullptr;
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST(StrandTest, LetsGoOfATaskBeforeItIsIdle) {
  auto executor = std::make_unique<Executor>(1);
  const auto strand = std::make_shared<Strand>(*executor);
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> watched = held;
  strand->Post([held = std::move(held)] {});
  executor = nullptr;
  EXPECT_TRUE(watched.expired());
}

}  // namespace
}  // namespace chunkkv
