#include "service/memory/buffer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "chunkkv/kernels/status.h"

namespace chunkkv {
namespace {

BudgetShare ShareOf(MemoryBudget& budget, int64_t bytes) {
  BudgetShare share;
  EXPECT_TRUE(budget.TryReserve(bytes, &share));
  return share;
}

TEST(BufferTest, IsZeroFilledAndPageAlignedAtEverySize) {
  MemoryBudget budget(int64_t{1} << 30);
  for (const int64_t size : {1, 7, 4095, 4096, 4097, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, (5 << 20) + 12'345}) {
    auto buffer = Buffer::Allocate(size, ShareOf(budget, Buffer::ChargedBytes(size)));
    ASSERT_TRUE(buffer.ok());
    EXPECT_EQ(buffer->size_bytes(), size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->data()) % static_cast<uintptr_t>(getpagesize()), 0u);
    EXPECT_TRUE(
        std::all_of(buffer->span().begin(), buffer->span().end(), [](std::byte b) { return b == std::byte{0}; }));
    std::memset(buffer->data(), 0xab, static_cast<size_t>(size));
  }
}

TEST(BufferTest, ChargesWholePagesAndGivesBackTheRestOfTheShare) {
  const int64_t page_bytes = getpagesize();
  EXPECT_EQ(Buffer::ChargedBytes(0), 0);
  EXPECT_EQ(Buffer::ChargedBytes(1), page_bytes);
  EXPECT_EQ(Buffer::ChargedBytes(page_bytes), page_bytes);
  EXPECT_EQ(Buffer::ChargedBytes(page_bytes + 1), 2 * page_bytes);
  EXPECT_EQ(Buffer::ChargedBytes(INT64_MAX), INT64_MAX);
  MemoryBudget budget(10 * page_bytes);
  auto buffer = Buffer::Allocate(page_bytes + 1, ShareOf(budget, 10 * page_bytes));
  ASSERT_TRUE(buffer.ok());
  EXPECT_EQ(budget.used_bytes(), 2 * page_bytes);
}

TEST(BufferTest, HoldsNothingWhenEmpty) {
  MemoryBudget budget(100);
  auto buffer = Buffer::Allocate(0, ShareOf(budget, 0));
  ASSERT_TRUE(buffer.ok());
  EXPECT_EQ(buffer->span().size(), 0u);
}

TEST(BufferTest, KeepsItsChargeUntilTheLastOwnerIsGone) {
  MemoryBudget budget(1 << 20);
  Buffer owner;
  {
    auto buffer = Buffer::Allocate(10'000, ShareOf(budget, Buffer::ChargedBytes(10'000)));
    ASSERT_TRUE(buffer.ok());
    buffer->data()[9'999] = std::byte{7};
    owner = *std::move(buffer);
  }
  EXPECT_EQ(owner.data()[9'999], std::byte{7});
  EXPECT_EQ(budget.used_bytes(), Buffer::ChargedBytes(10'000));
  owner = Buffer();
  EXPECT_EQ(budget.used_bytes(), 0);
}

TEST(BufferTest, FailsWithoutChargeWhenTheSystemHasNoAddressesLeft) {
  MemoryBudget budget(int64_t{1} << 60);
  const int64_t size = int64_t{1} << 50;  // beyond any user address space
  auto buffer = Buffer::Allocate(size, ShareOf(budget, size));
  EXPECT_EQ(buffer.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(StatusReason(buffer.status()), "OUT_OF_MEMORY");
  EXPECT_EQ(budget.used_bytes(), 0);
}

}  // namespace
}  // namespace chunkkv
