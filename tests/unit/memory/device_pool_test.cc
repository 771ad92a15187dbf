#include "service/memory/device_pool.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <random>
#include <vector>

#include "chunkkv/kernels/status.h"
#include "tests/support/host_device_memory.h"

namespace chunkkv {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

TEST(DevicePoolTest, TakesASlabOnlyWhenNeededAndGivesItBack) {
  HostDeviceMemory memory;
  DevicePool pool(memory, 64 * kMiB, 4 * kMiB);
  EXPECT_EQ(pool.slab_bytes(), 0);
  {
    const auto a = pool.Allocate(kMiB), b = pool.Allocate(3 * kMiB);
    ASSERT_TRUE(a.ok() && b.ok());
    EXPECT_EQ(pool.slab_bytes(), 4 * kMiB) << "both fit into one";
    EXPECT_EQ(memory.slab_bytes(), 4 * kMiB);
    const auto c = pool.Allocate(1);
    EXPECT_EQ(pool.slab_bytes(), 8 * kMiB);
  }
  EXPECT_EQ(pool.slab_bytes(), 0);
  EXPECT_EQ(memory.slab_bytes(), 0);
}

TEST(DevicePoolTest, GivesALargeBlockASlabOfItsOwn) {
  HostDeviceMemory memory;
  DevicePool pool(memory, 64 * kMiB, 4 * kMiB);
  auto large = pool.Allocate(9 * kMiB);
  ASSERT_TRUE(large.ok());
  EXPECT_EQ(pool.slab_bytes(), 10 * kMiB) << "to whole granules";
  auto small = pool.Allocate(kMiB / 2);
  EXPECT_EQ(pool.slab_bytes(), 10 * kMiB) << "what is left of it is used";
}

TEST(DevicePoolTest, NeverExceedsItsBudget) {
  HostDeviceMemory memory;
  DevicePool pool(memory, 7 * kMiB + 123, 4 * kMiB);
  auto first = pool.Allocate(4 * kMiB);
  ASSERT_TRUE(first.ok());
  auto second = pool.Allocate(kMiB);
  ASSERT_TRUE(second.ok()) << "from a slab that is smaller than the others";
  EXPECT_EQ(pool.slab_bytes(), 6 * kMiB);
  EXPECT_EQ(StatusReason(pool.Allocate(kMiB + 1).status()), "DEVICE_BUDGET");
  EXPECT_EQ(StatusReason(pool.Allocate(7 * kMiB + 124).status()), "DEVICE_BUDGET");
  EXPECT_EQ(StatusReason(pool.Allocate(INT64_MAX).status()), "DEVICE_BUDGET");
  EXPECT_EQ(StatusReason(DevicePool(memory, 0).Allocate(1).status()), "DEVICE_BUDGET");
  first = absl::UnknownError("freed");
  EXPECT_TRUE(pool.Allocate(4 * kMiB).ok());
}

TEST(DevicePoolTest, PassesOnWhatTheDeviceSays) {
  HostDeviceMemory memory;
  DevicePool pool(memory, 64 * kMiB, 4 * kMiB);
  memory.RunOutOfMemory();
  EXPECT_EQ(StatusReason(pool.Allocate(kMiB).status()), "DEVICE_MEMORY_EXHAUSTED");
  memory.RunOutOfMemory(false);
  EXPECT_TRUE(pool.Allocate(kMiB).ok());
  memory.Break();
  EXPECT_EQ(StatusReason(pool.Allocate(kMiB).status()), "CUDA_ERROR");
  EXPECT_EQ(pool.slab_bytes(), 0);
}

TEST(DevicePoolTest, TakesASmallerSlabWhereTheDeviceIsNearlyFull) {
  HostDeviceMemory memory;
  DevicePool pool(memory, 64 * kMiB, 32 * kMiB);
  memory.RunOutOfMemoryOnce(0);
  const auto block = pool.Allocate(3 * kMiB);
  ASSERT_TRUE(block.ok()) << block.status();
  EXPECT_EQ(pool.slab_bytes(), 4 * kMiB);
}

TEST(DevicePoolTest, JoinsWhatIsFreed) {
  HostDeviceMemory memory;
  DevicePool pool(memory, 4 * kMiB, 4 * kMiB);
  std::vector<DeviceBlock> blocks;
  for (int i = 0; i < 4; ++i) blocks.push_back(*pool.Allocate(kMiB));
  std::byte* const second = blocks[1].data();
  // Freed last, first and in the middle: joined with either side.
  for (const size_t freed : {size_t{1}, size_t{3}, size_t{2}}) blocks[freed] = DeviceBlock();
  const auto joined = pool.Allocate(3 * kMiB);
  ASSERT_TRUE(joined.ok()) << joined.status();
  EXPECT_EQ(joined->data(), second);
}

TEST(DevicePoolTest, TakesTheSmallestRangeThatFits) {
  HostDeviceMemory memory;
  DevicePool pool(memory, 4 * kMiB, 4 * kMiB);
  std::vector<DeviceBlock> blocks;
  for (const int64_t size : {1024, 512, 2048, 512, 512, 1024}) blocks.push_back(*pool.Allocate(size));
  std::byte* const hole = blocks[4].data();
  for (const size_t freed : {size_t{0}, size_t{2}, size_t{4}}) blocks[freed] = DeviceBlock();
  const auto block = pool.Allocate(500);
  EXPECT_EQ(block->data(), hole);
  EXPECT_EQ(block->size_bytes(), 500);
}

TEST(DevicePoolTest, ABlockMovesWithWhoeverHoldsIt) {
  HostDeviceMemory memory;
  DevicePool pool(memory, 4 * kMiB, 4 * kMiB);
  DeviceBlock block = *pool.Allocate(100);
  std::byte* const data = block.data();
  DeviceBlock other = std::move(block);
  block = DeviceBlock();
  EXPECT_EQ(other.data(), data);
  EXPECT_EQ(pool.slab_bytes(), 4 * kMiB);
  other = DeviceBlock();
  EXPECT_EQ(pool.slab_bytes(), 0);
}

// What a pool of ranges must do, said as plainly as possible: no two blocks share a byte, every block keeps what was
// written to it, and the budget holds.
TEST(DevicePoolTest, AgreesWithAnOracleOverRandomUse) {
  for (uint32_t seed = 0; seed < 4; ++seed) {
    std::mt19937 random(seed);
    HostDeviceMemory memory;
    constexpr int64_t kLimit = 24 * kMiB;
    DevicePool pool(memory, kLimit, 4 * kMiB);
    struct Held {
      DeviceBlock block;
      uint32_t mark;
    };
    std::map<std::byte*, Held> held;  // by address
    int refused = 0;
    for (uint32_t step = 0; step < 3000; ++step) {
      if (held.empty() || random() % 100 < 55) {
        // Mostly small, now and then larger than a slab; never of a round number of bytes by intent.
        const int64_t largest = int64_t{1} << (9 + random() % 15);
        const int64_t size = 1 + random() % largest;
        auto block = pool.Allocate(size);
        if (!block.ok()) {
          ASSERT_EQ(StatusReason(block.status()), "DEVICE_BUDGET");
          ++refused;
        } else {
          std::byte* const data = block->data();
          ASSERT_EQ(reinterpret_cast<uintptr_t>(data) % DevicePool::kAlignmentBytes, 0u);
          const auto next = held.lower_bound(data);
          ASSERT_TRUE(next == held.end() || next->first >= data + size) << "overlaps the block behind it";
          if (next != held.begin()) {
            const auto& [before, other] = *std::prev(next);
            ASSERT_LE(before + other.block.size_bytes(), data) << "overlaps the block before it";
          }
          std::memset(data, static_cast<int>(step % 251), static_cast<size_t>(size));
          held.emplace(data, Held{*std::move(block), step % 251});
        }
      } else {
        const auto victim = std::next(held.begin(), static_cast<long>(random() % held.size()));
        const Held& freed = victim->second;
        for (int64_t i = 0; i < freed.block.size_bytes(); i += 509) {
          ASSERT_EQ(freed.block.data()[i], static_cast<std::byte>(freed.mark));
        }
        held.erase(victim);
      }
      ASSERT_LE(pool.slab_bytes(), kLimit);
      ASSERT_EQ(pool.slab_bytes(), memory.slab_bytes());
    }
    EXPECT_GT(refused, 0) << "the budget was never reached";
    held.clear();
    EXPECT_EQ(pool.slab_bytes(), 0);
    EXPECT_TRUE(pool.Allocate(kLimit).ok()) << "what was freed is whole again";
  }
}

TEST(HostDeviceMemoryTest, ASlabIsWhatItsDescriptorMaps) {
  HostDeviceMemory memory;
  const auto slab = memory.AllocateSlab(kSlabGranularityBytes);
  ASSERT_TRUE(slab.ok());
  const auto descriptor = memory.ExportDescriptor(*slab);
  ASSERT_TRUE(descriptor.ok());
  void* const other = mmap(nullptr, kSlabGranularityBytes, PROT_READ, MAP_SHARED, *descriptor, 0);
  ASSERT_NE(other, MAP_FAILED);
  std::memset(*slab, 42, kSlabGranularityBytes);
  EXPECT_EQ(std::memcmp(*slab, other, kSlabGranularityBytes), 0);
  memory.FreeSlab(*slab);
  EXPECT_EQ(static_cast<const char*>(other)[kSlabGranularityBytes - 1], 42) << "lives on for who imported it";
  munmap(other, kSlabGranularityBytes);
  close(*descriptor);
}

}  // namespace
}  // namespace chunkkv
