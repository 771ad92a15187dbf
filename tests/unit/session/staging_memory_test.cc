// A session's memory beside its body, against what it reserved.
#include "service/session/staging_memory.h"

#include <gtest/gtest.h>

#include <utility>

#include "chunkkv/kernels/status.h"

namespace chunkkv {
namespace {

constexpr int64_t kPage = 64 << 10;  // whole pages everywhere

class StagingMemoryTest : public testing::Test {
 protected:
  BudgetShare Reserve(int64_t bytes) {
    BudgetShare share;
    EXPECT_TRUE(budget_.TryReserve(bytes, &share));
    return share;
  }

  MemoryBudget budget_{16 * kPage};
};

TEST_F(StagingMemoryTest, RecyclesBuffersOfTheSameSize) {
  StagingMemory memory(Reserve(2 * kPage), {}, /*recycles=*/true);
  BufferPtr buffer = memory.Acquire(kPage).value();
  const std::byte* const data = buffer->data();
  memory.Recycle(std::move(buffer));
  const BufferPtr again = memory.Acquire(kPage).value();
  EXPECT_EQ(again->data(), data);
  EXPECT_NE(memory.Acquire(kPage).value()->data(), data);
}

TEST_F(StagingMemoryTest, RefusesMoreThanWasReserved) {
  StagingMemory memory(Reserve(2 * kPage), {}, /*recycles=*/true);
  const BufferPtr buffer = memory.Acquire(kPage).value();
  const absl::Status status = memory.Acquire(kPage + 1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(StatusReason(status), "STAGING");
  EXPECT_TRUE(memory.Acquire(kPage).ok());
}

}  // namespace
}  // namespace chunkkv
