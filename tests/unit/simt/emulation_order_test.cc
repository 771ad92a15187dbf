// Threads run in an order that the seed decides; what a kernel computes must not depend on it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <set>
#include <vector>

#include "kernels/simt/emulation/grid.h"
#include "kernels/simt/simt.h"

namespace chunkkv::testing {
namespace {

constexpr uint64_t kSeeds = 20;

// Threads of a grid in the order in which they came to its barrier, and left it.
std::vector<int> OrderOfThreads(uint64_t seed) {
  std::vector<int> order;
  simt::emulation::RunGrid({2, 64, 0}, seed, [&] {
    order.push_back(simt::BlockIndex() * 64 + simt::ThreadIndex());
    simt::SyncBlock();
    order.push_back(simt::BlockIndex() * 64 + simt::ThreadIndex());
  });
  return order;
}

TEST(EmulationOrderTest, DiffersBySeedAndIsRepeatable) {
  std::set<std::vector<int>> orders;
  bool is_second_block_first = false;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const std::vector<int> order = OrderOfThreads(seed);
    EXPECT_EQ(OrderOfThreads(seed), order);
    orders.insert(order);
    is_second_block_first = is_second_block_first || order[0] >= 64;
  }
  EXPECT_EQ(orders.size(), kSeeds);
  EXPECT_TRUE(is_second_block_first);
}

TEST(EmulationOrderTest, ABarrierHoldsTheWholeBlock) {
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const std::vector<int> order = OrderOfThreads(seed);
    for (int block = 0; block < 2; ++block) {
      std::vector<int> before(order.begin() + block * 128, order.begin() + block * 128 + 64);
      std::vector<int> after(order.begin() + block * 128 + 64, order.begin() + block * 128 + 128);
      std::sort(before.begin(), before.end());
      std::sort(after.begin(), after.end());
      EXPECT_EQ(before, after);
    }
  }
}

TEST(EmulationOrderTest, WarpsWaitForTheirOwnLanesOnly) {
  // One warp may be through its exchange before another begins.
  bool has_overtaken = false;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    std::vector<int> begun(2), done(2);
    simt::emulation::RunGrid({1, 64, 0}, seed, [&] {
      ++begun[simt::Warp()];
      simt::SyncWarp();
      EXPECT_EQ(begun[simt::Warp()], 32);
      if (++done[simt::Warp()] == 32 && begun[1 - simt::Warp()] < 32) has_overtaken = true;
    });
  }
  EXPECT_TRUE(has_overtaken);
}

// Inclusive sums of a block's values through shared memory, with or without the barrier between read and write.
std::vector<int> SumsOfBlock(uint64_t seed, bool has_barrier) {
  std::vector<int> sums(128);
  simt::emulation::RunGrid({1, 128, 128 * sizeof(int)}, seed, [&] {
    auto* shared = reinterpret_cast<int*>(simt::SharedMemory());
    const int thread = simt::ThreadIndex();
    shared[thread] = thread + 1;
    simt::SyncBlock();
    for (int delta = 1; delta < 128; delta *= 2) {
      const int before = thread >= delta ? shared[thread - delta] : 0;
      if (has_barrier) simt::SyncBlock();
      shared[thread] += before;
      simt::SyncBlock();
    }
    sums[thread] = shared[thread];
  });
  return sums;
}

TEST(EmulationOrderTest, CorrectKernelsGiveTheSameForEverySeed) {
  std::vector<int> expected(128);
  for (int i = 0; i < 128; ++i) expected[i] = (i + 1) * (i + 2) / 2;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) EXPECT_EQ(SumsOfBlock(seed, true), expected) << seed;
}

TEST(EmulationOrderTest, AMissingBarrierGivesWrongResults) {
  std::vector<int> expected(128);
  for (int i = 0; i < 128; ++i) expected[i] = (i + 1) * (i + 2) / 2;
  int wrong = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) wrong += SumsOfBlock(seed, false) != expected;
  EXPECT_GE(wrong, static_cast<int>(kSeeds) - 1);
}

TEST(EmulationOrderTest, AMissingBarrierBetweenWriteAndReadShowsGarbage) {
  int wrong = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    std::vector<float> read(64);
    simt::emulation::RunGrid({1, 64, 64 * sizeof(float)}, seed, [&] {
      auto* shared = reinterpret_cast<float*>(simt::SharedMemory());
      shared[simt::ThreadIndex()] = 1;
      read[simt::ThreadIndex()] = shared[63 - simt::ThreadIndex()];
    });
    wrong += !std::all_of(read.begin(), read.end(), [](float value) { return value == 1; });
  }
  EXPECT_EQ(wrong, static_cast<int>(kSeeds));
}

TEST(EmulationOrderTest, AMissingWarpBarrierGivesWrongResults) {
  int wrong = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    std::vector<int> read(32);
    simt::emulation::RunGrid({1, 32, 32 * sizeof(int)}, seed, [&] {
      auto* shared = reinterpret_cast<int*>(simt::SharedMemory());
      shared[simt::Lane()] = simt::Lane();
      read[simt::Lane()] = shared[(simt::Lane() + 1) % 32];
    });
    for (int lane = 0; lane < 32; ++lane) wrong += read[lane] != (lane + 1) % 32;
  }
  EXPECT_GT(wrong, 0);
}

TEST(EmulationOrderTest, SharedMemoryHoldsNansAtFirstInEveryBlock) {
  simt::emulation::RunGrid({3, 32, 32 * sizeof(float)}, 1, [&] {
    auto* shared = reinterpret_cast<float*>(simt::SharedMemory());
    EXPECT_TRUE(shared[simt::ThreadIndex()] != shared[simt::ThreadIndex()]);
    shared[simt::ThreadIndex()] = 0;
  });
}

TEST(EmulationOrderTest, SharedMemoryIsAlignedTo128Bytes) {
  for (const size_t bytes : {1, 4, 100, 128, 1000}) {
    simt::emulation::RunGrid({2, 32, bytes}, 1,
                             [&] { EXPECT_EQ(reinterpret_cast<uintptr_t>(simt::SharedMemory()) % 128, 0u); });
  }
}

// What is read before a copy is waited for is the data for some seeds and garbage for others.
TEST(EmulationOrderTest, CopiesAreVisibleAfterTheyAreWaitedForAndNotBefore) {
  int early = 0;
  int late = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    std::vector<simt::Words4> from(32, simt::Words4{{1, 2, 3, 4}});
    simt::emulation::RunGrid({1, 32, 32 * sizeof(simt::Words4)}, seed, [&] {
      auto* mine = reinterpret_cast<simt::Words4*>(simt::SharedMemory()) + simt::ThreadIndex();
      simt::CopyAsync(mine, from.data() + simt::ThreadIndex(), true);
      simt::CommitCopies();
      mine->word[1] == 2 ? ++early : ++late;
      simt::WaitForCopies<0>();
      EXPECT_EQ(mine->word[1], 2u);
    });
  }
  EXPECT_GT(early, 0);
  EXPECT_GT(late, 0);
}

TEST(EmulationOrderTest, WaitingLeavesTheNewestGroupsOnTheirWay) {
  bool has_lacked_second = false;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const std::vector<simt::Words4> from(2, simt::Words4{{7, 7, 7, 7}});
    simt::emulation::RunGrid({1, 32, 64 * sizeof(simt::Words4)}, seed, [&] {
      auto* mine = reinterpret_cast<simt::Words4*>(simt::SharedMemory()) + simt::ThreadIndex() * 2;
      simt::CopyAsync(mine, &from[0], true);
      simt::CommitCopies();
      simt::CopyAsync(mine + 1, &from[1], true);
      simt::CommitCopies();
      simt::WaitForCopies<1>();
      EXPECT_EQ(mine[0].word[0], 7u);
      has_lacked_second = has_lacked_second || mine[1].word[0] != 7;
      simt::WaitForCopies<0>();
      EXPECT_EQ(mine[1].word[0], 7u);
    });
  }
  EXPECT_TRUE(has_lacked_second);
}

}  // namespace
}  // namespace chunkkv::testing
