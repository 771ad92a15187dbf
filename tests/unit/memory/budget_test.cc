#include "service/memory/budget.h"

#include <gtest/gtest.h>

#include <thread>
#include <utility>
#include <vector>

namespace chunkkv {
namespace {

TEST(MemoryBudgetTest, RefusesWhatDoesNotFit) {
  MemoryBudget budget(100);
  BudgetShare first, second;
  ASSERT_TRUE(budget.TryReserve(60, &first));
  EXPECT_FALSE(budget.TryReserve(41, &second));
  EXPECT_EQ(second.bytes(), 0);
  EXPECT_TRUE(budget.TryReserve(40, &second));
  EXPECT_EQ(budget.used_bytes(), 100);
}

TEST(MemoryBudgetTest, RefusesNumbersThatWouldOverflow) {
  MemoryBudget budget(100);
  BudgetShare first, second;
  ASSERT_TRUE(budget.TryReserve(100, &first));
  EXPECT_FALSE(budget.TryReserve(INT64_MAX, &second));
}

TEST(MemoryBudgetTest, GetsBackWhatAShareHeldWhenItIsDestroyed) {
  MemoryBudget budget(100);
  {
    BudgetShare share;
    ASSERT_TRUE(budget.TryReserve(70, &share));
    BudgetShare moved = std::move(share);
    EXPECT_EQ(budget.used_bytes(), 70);
  }
  EXPECT_EQ(budget.used_bytes(), 0);
}

TEST(MemoryBudgetTest, GetsBackWhatAShareHeldWhenAnotherIsAssigned) {
  MemoryBudget budget(100);
  BudgetShare share, other;
  ASSERT_TRUE(budget.TryReserve(10, &share));
  ASSERT_TRUE(budget.TryReserve(20, &other));
  share = std::move(other);
  EXPECT_EQ(share.bytes(), 20);
  EXPECT_EQ(budget.used_bytes(), 20);
}

TEST(MemoryBudgetTest, SplitsAndShrinksShares) {
  MemoryBudget budget(100);
  BudgetShare share;
  ASSERT_TRUE(budget.TryReserve(100, &share));
  BudgetShare part = share.Split(30);
  EXPECT_EQ(share.bytes(), 70);
  EXPECT_EQ(part.bytes(), 30);
  EXPECT_EQ(budget.used_bytes(), 100);
  share.Shrink(70);
  EXPECT_EQ(budget.used_bytes(), 30);
}

TEST(MemoryBudgetTest, MergesShares) {
  MemoryBudget budget(100);
  BudgetShare share, other, empty;
  ASSERT_TRUE(budget.TryReserve(30, &share));
  ASSERT_TRUE(budget.TryReserve(20, &other));
  share.Merge(std::move(other));
  share.Merge(BudgetShare());
  EXPECT_EQ(share.bytes(), 50);
  EXPECT_EQ(budget.used_bytes(), 50);
  empty.Merge(std::move(share));
  EXPECT_EQ(empty.bytes(), 50);
  empty.Release();
  EXPECT_EQ(budget.used_bytes(), 0);
}

TEST(MemoryBudgetTest, IsNeverExceededByThreadsAtOnce) {
  MemoryBudget budget(1000);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&budget, t] {
      for (int i = 0; i < 5000; ++i) {
        BudgetShare share;
        budget.TryReserve((i * 37 + t * 11) % 500, &share);
        EXPECT_LE(budget.used_bytes(), budget.limit_bytes());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(budget.used_bytes(), 0);
}

}  // namespace
}  // namespace chunkkv
