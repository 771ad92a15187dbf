#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <utility>
#include <vector>

#include "service/memory/buffer.h"

namespace chunkkv {
namespace {

int64_t ResidentBytes() {
  int64_t total_pages = 0, resident_pages = 0;
  std::ifstream("/proc/self/statm") >> total_pages >> resident_pages;
  return resident_pages * getpagesize();
}

TEST(BufferResidentTest, ResidentMemoryFollowsTheBudget) {
  constexpr int64_t kSlack = int64_t{4} << 20;
  MemoryBudget budget(int64_t{1} << 30);
  const int64_t before = ResidentBytes();
  std::vector<Buffer> buffers;
  // Sizes around those of huge pages, written as a put does: each byte once.
  for (const int64_t size :
       {int64_t{3} << 20, (int64_t{2} << 20) + 1, int64_t{64} << 20, int64_t{100'000}, (int64_t{31} << 20) - 5}) {
    for (int i = 0; i < 3; ++i) {
      BudgetShare share;
      ASSERT_TRUE(budget.TryReserve(Buffer::ChargedBytes(size), &share));
      auto buffer = Buffer::Allocate(size, std::move(share));
      ASSERT_TRUE(buffer.ok());
      std::memset(buffer->data(), 1, static_cast<size_t>(size));
      buffers.push_back(*std::move(buffer));
      EXPECT_LE(ResidentBytes() - before, budget.used_bytes() + kSlack);
    }
  }
  while (!buffers.empty()) {
    buffers.erase(buffers.begin() + static_cast<int64_t>(buffers.size()) / 2);
    EXPECT_LE(ResidentBytes() - before, budget.used_bytes() + kSlack);
  }
}

TEST(BufferResidentTest, AByteWrittenNowAndThenTakesNoMoreThanItsPages) {
  MemoryBudget budget(int64_t{1} << 30);
  const int64_t size = (int64_t{8} << 20) - 4096;
  const int64_t before = ResidentBytes();
  std::vector<Buffer> buffers;
  for (int i = 0; i < 8; ++i) {
    BudgetShare share;
    ASSERT_TRUE(budget.TryReserve(Buffer::ChargedBytes(size), &share));
    auto buffer = Buffer::Allocate(size, std::move(share));
    ASSERT_TRUE(buffer.ok());
    for (int64_t at = 0; at < size; at += 1 << 20) buffer->data()[at] = std::byte{1};
    buffers.push_back(*std::move(buffer));
  }
  EXPECT_LE(ResidentBytes() - before, budget.used_bytes() + (int64_t{4} << 20));
}

}  // namespace
}  // namespace chunkkv
