#include "kernels/cpu/scatter_rows.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "tests/unit/kernels/implementations.h"
#include "tests/unit/kernels/row_memory.h"

namespace chunkkv::cpu {
namespace {

using testing::HeadOffset;
using testing::RowLayout;
using testing::RowMemory;

// Runs of many tokens, of few, and single ones.
const std::vector<int32_t> kPositions = {63, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 30, 32, 33, 61, 62};

struct Heads {
  DType dtype;
  int32_t count;
  int32_t size;
};

// Heads of whole cache lines, of half of one, of odd bytes, and rows larger than a page.
constexpr Heads kHeads[] = {{DType::kBF16, 8, 128}, {DType::kF32, 2, 80},   {DType::kBF16, 3, 24},
                            {DType::kF8E4M3, 4, 7}, {DType::kBF16, 1, 128}, {DType::kF32, 40, 112},
                            {DType::kF8E5M2, 2, 64}};

class ScatterRowsTest : public testing::PerImplementation {};
CHUNKKV_FOR_EACH_IMPLEMENTATION(ScatterRowsTest);

TEST_P(ScatterRowsTest, CopiesRowsOfAnyShapeToAnywhere) {
  std::mt19937 random(1);
  for (const Heads& heads : kHeads) {
    const size_t head_bytes = DTypeSize(heads.dtype) * heads.size;
    std::vector<std::byte> rows(kPositions.size() * heads.count * head_bytes);
    for (std::byte& byte : rows) byte = static_cast<std::byte>(random());
    for (const RowLayout layout : testing::kRowLayouts) {
      RowMemory cache({heads.dtype, 64, heads.count, heads.size, 8}, layout, random);
      for (const size_t offset : {0, 1, 16, 64}) {
        for (const bool past_caches : {false, true}) {
          const std::vector<std::byte>& before = cache.bytes();
          alignas(64) static std::byte room[4 << 20];
          ASSERT_LE(offset + before.size(), sizeof room);
          std::memcpy(room + offset, before.data(), before.size());
          std::vector<std::byte> wanted = before;
          MutableRowsView destination = cache.MutableRows();
          const auto view_offset = destination.data - before.data();
          const std::byte* from = rows.data();
          for (const int32_t position : kPositions) {
            for (int32_t head = 0; head < heads.count; ++head, from += head_bytes) {
              std::memcpy(wanted.data() + view_offset + HeadOffset(cache.Rows(), position, head), from, head_bytes);
            }
          }
          destination.data = room + offset + view_offset;
          ASSERT_TRUE(ScatterRows(rows.data(), kPositions, destination, past_caches));
          ASSERT_EQ(std::memcmp(room + offset, wanted.data(), wanted.size()), 0)
              << heads.count << " x " << heads.size << ", layout " << static_cast<int>(layout) << " at " << offset
              << (past_caches ? " past caches" : "");
        }
      }
    }
  }
}

TEST_P(ScatterRowsTest, RefusesPositionsOutsideWithNothingCopied) {
  std::mt19937 random(1);
  const std::vector<std::byte> rows(3 * 8);
  for (const RowLayout layout : testing::kRowLayouts) {
    RowMemory cache({DType::kBF16, 64, 1, 4, 8}, layout, random);
    const std::vector<std::byte> before = cache.bytes();
    for (const int32_t outside : {-1, 64}) {
      EXPECT_FALSE(ScatterRows(rows.data(), std::vector<int32_t>{0, outside, 1}, cache.MutableRows(), false));
      EXPECT_EQ(cache.bytes(), before);
    }
  }
}

}  // namespace
}  // namespace chunkkv::cpu
