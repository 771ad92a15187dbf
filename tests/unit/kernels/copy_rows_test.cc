#include "kernels/cpu/copy_rows.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "tests/unit/kernels/compaction_run.h"
#include "tests/unit/kernels/implementations.h"
#include "tests/unit/kernels/row_memory.h"

namespace chunkkv::cpu {
namespace {

constexpr int64_t kTokens = 64;
const std::vector<int32_t> kPositions = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 30, 32, 33, 61, 62, 63};

std::vector<std::byte> RowsOfReference(const RowsView& source) {
  std::vector<std::byte> rows(kPositions.size() * source.head_count * source.head_size * DTypeSize(source.dtype));
  const GatherTask task{source, kPositions, rows.data()};
  Batch batch;
  batch.gather = absl::MakeConstSpan(&task, 1);
  ExecutionContext context;
  EXPECT_TRUE(testing::RunBatch(*MakeReferenceCompactor(), Plan(), batch, context).ok());
  return rows;
}

struct Shape {
  DType dtype;
  int32_t head_count;
  int32_t head_size;
};

// Heads of whole vectors, of half of one, of odd bytes, and larger than what is staged.
constexpr Shape kShapes[] = {{DType::kBF16, 8, 128}, {DType::kF32, 2, 80},   {DType::kBF16, 3, 24},
                             {DType::kF8E4M3, 4, 7}, {DType::kBF16, 1, 128}, {DType::kF32, 40, 112}};

class CopyRowsTest : public testing::PerImplementation {};

TEST_P(CopyRowsTest, CopiesRowsOfAnyShapeToAnywhere) {
  std::mt19937 random(1);
  for (const Shape& shape : kShapes) {
    for (const testing::RowLayout layout : testing::kRowLayouts) {
      testing::RowMemory memory({shape.dtype, kTokens, shape.head_count, shape.head_size, 8}, layout, random);
      const RowsView source = memory.Rows();
      const std::vector<std::byte> wanted = RowsOfReference(source);
      for (const size_t offset : {0, 1, 16, 32}) {
        for (const bool past_caches : {false, true}) {
          alignas(64) static std::byte room[1 << 20];
          ASSERT_LE(offset + wanted.size() + 1, sizeof room);
          std::memset(room, 0x5a, offset + wanted.size() + 1);
          ASSERT_TRUE(CopyRows(source, kPositions, room + offset, past_caches));
          EXPECT_EQ(std::memcmp(room + offset, wanted.data(), wanted.size()), 0)
              << shape.head_count << " x " << shape.head_size << ", layout " << static_cast<int>(layout) << " at "
              << offset << (past_caches ? " past caches" : "");
          EXPECT_EQ(room[offset + wanted.size()], std::byte{0x5a});
          if (offset > 0) {
            EXPECT_EQ(room[offset - 1], std::byte{0x5a});
          }
        }
      }
    }
  }
}

TEST_P(CopyRowsTest, RefusesPositionsOutside) {
  const std::vector<std::byte> data(kTokens * 8);
  const RowsView source = TokenMajorRows(data.data(), DType::kBF16, kTokens, 1, 4);
  std::vector<std::byte> room(3 * 8, std::byte{0x5a});
  for (const int32_t outside : {-1, static_cast<int32_t>(kTokens)}) {
    EXPECT_FALSE(CopyRows(source, std::vector<int32_t>{0, outside, 1}, room.data(), false));
    EXPECT_EQ(room, std::vector<std::byte>(3 * 8, std::byte{0x5a}));
  }
}

CHUNKKV_FOR_EACH_IMPLEMENTATION(CopyRowsTest);

}  // namespace
}  // namespace chunkkv::cpu
