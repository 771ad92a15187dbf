// Scatter tasks of every implementation: into caches of any layout, nothing else touched, bad requests refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

#include "chunkkv/kernels/status.h"
#include "tests/unit/kernels/compaction_run.h"
#include "tests/unit/kernels/implementations.h"
#include "tests/unit/kernels/row_memory.h"

namespace chunkkv::testing {
namespace {

class CompactorScatter : public PerImplementation {
 protected:
  std::vector<std::byte> RandomBytes(size_t count) {
    std::vector<std::byte> bytes(count);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random_());
    return bytes;
  }

  template <typename Choices>
  auto PickOne(const Choices& choices) {
    return choices[random_() % std::size(choices)];
  }

  std::vector<int32_t> RandomPositions(int64_t count, int64_t token_count, bool ascending) {
    std::vector<int32_t> positions(token_count);
    std::iota(positions.begin(), positions.end(), 0);
    std::shuffle(positions.begin(), positions.end(), random_);
    positions.resize(count);
    if (ascending) std::sort(positions.begin(), positions.end());
    return positions;
  }

  absl::Status Gather(const RowsView& source, const std::vector<int32_t>& positions, std::vector<std::byte>& rows) {
    const GatherTask task{source, positions, rows.data()};
    Batch batch;
    batch.gather = absl::MakeConstSpan(&task, 1);
    return RunBatch(compactor(), Plan(), batch, context_);
  }

  absl::Status Scatter(const std::vector<std::byte>& rows, const std::vector<int32_t>& positions,
                       const MutableRowsView& destination) {
    const ScatterTask task{rows.data(), positions, destination};
    Batch batch;
    batch.scatter = absl::MakeConstSpan(&task, 1);
    return RunBatch(compactor(), Plan(), batch, context_);
  }

  std::mt19937 random_{20240229};
  ExecutionContext context_;
};
CHUNKKV_FOR_EACH_IMPLEMENTATION(CompactorScatter);

size_t HeadBytes(const RowsView& rows) { return DTypeSize(rows.dtype) * rows.head_size; }
size_t RowBytes(const RowsView& rows) { return HeadBytes(rows) * rows.head_count; }

// All bytes of `cache` after `rows` have gone to `positions`.
std::vector<std::byte> Scattered(RowMemory cache, const std::vector<std::byte>& rows,
                                 const std::vector<int32_t>& positions) {
  const MutableRowsView view = cache.MutableRows();
  const size_t head_bytes = HeadBytes(cache.Rows());
  const std::byte* from = rows.data();
  for (const int32_t position : positions) {
    for (int32_t head = 0; head < view.head_count && head_bytes > 0; ++head, from += head_bytes) {
      std::memcpy(view.data + HeadOffset(cache.Rows(), position, head), from, head_bytes);
    }
  }
  return cache.bytes();
}

TEST_P(CompactorScatter, RoundTripsThroughCachesOfAnyLayoutAndDtype) {
  struct Heads {
    int32_t count;
    int32_t size;
  };
  constexpr std::array kHeads = {Heads{1, 1}, Heads{2, 8}, Heads{3, 7}, Heads{1, 33}, Heads{2, 64}, Heads{8, 1}};
  constexpr std::array kBlockTokenCounts = {1, 3, 16};
  for (const RowLayout layout : kRowLayouts) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3, DType::kF8E5M2}) {
      for (const int64_t count : {0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 1023}) {
        const Heads heads = PickOne(kHeads);
        const int32_t block_token_count = PickOne(kBlockTokenCounts);
        SCOPED_TRACE(::testing::Message()
                     << "layout " << static_cast<int>(layout) << ", " << DTypeName(dtype) << ", " << count << " rows, "
                     << heads.count << " heads of " << heads.size << ", blocks of " << block_token_count);
        RowMemory source({dtype, count + 40, heads.count, heads.size, block_token_count}, layout, random_);
        source.bytes() = RandomBytes(source.bytes().size());
        std::vector<std::byte> rows(count * RowBytes(source.Rows()));
        const std::vector<int32_t> kept = RandomPositions(count, count + 40, true);
        ASSERT_TRUE(Gather(source.Rows(), kept, rows).ok());

        // A cache with room for what is decoded, or without.
        const int64_t room = PickOne(std::array{0, 1, 20});
        const RowLayout cache_layout = PickOne(kRowLayouts);
        RowMemory cache({dtype, count + room, heads.count, heads.size, PickOne(kBlockTokenCounts)}, cache_layout,
                        random_);
        SCOPED_TRACE(::testing::Message() << "to layout " << static_cast<int>(cache_layout));
        std::vector<int32_t> slots = RandomPositions(count, count + room, PickOne(std::array{false, true}));
        if (PickOne(std::array{false, true})) std::iota(slots.begin(), slots.end(), 0);
        const std::vector<std::byte> wanted = Scattered(cache, rows, slots);
        ASSERT_TRUE(Scatter(rows, slots, cache.MutableRows()).ok());
        ASSERT_EQ(cache.bytes(), wanted);

        std::vector<std::byte> back(rows.size());
        ASSERT_TRUE(Gather(cache.Rows(), slots, back).ok());
        ASSERT_EQ(back, rows);
        for (size_t n = 0; n < kept.size(); ++n) {
          for (int32_t head = 0; head < heads.count; ++head) {
            const size_t head_bytes = HeadBytes(source.Rows());
            ASSERT_EQ(std::memcmp(back.data() + (n * heads.count + head) * head_bytes,
                                  source.Rows().data + HeadOffset(source.Rows(), kept[n], head), head_bytes),
                      0)
                << "row " << n << " head " << head;
          }
        }
      }
    }
  }
}

TEST_P(CompactorScatter, PiecesLargerThanCachesOnSeveralThreads) {
  context_.run_parallel = OnThreads(3);
  for (const RowLayout layout : kRowLayouts) {
    for (const int32_t head_size : {64, 65}) {
      SCOPED_TRACE(::testing::Message() << "layout " << static_cast<int>(layout) << ", heads of " << head_size);
      constexpr int64_t kCount = 5000;
      RowMemory cache({DType::kF32, kCount + 9, 4, head_size}, layout, random_);
      const std::vector<std::byte> rows = RandomBytes(kCount * RowBytes(cache.Rows()));
      std::vector<int32_t> slots(kCount);
      for (int32_t n = 0; n < kCount; ++n) slots[n] = n + n / 600;
      const std::vector<std::byte> wanted = Scattered(cache, rows, slots);
      ASSERT_TRUE(Scatter(rows, slots, cache.MutableRows()).ok());
      ASSERT_TRUE(cache.bytes() == wanted);
    }
  }
}

TEST_P(CompactorScatter, ComesAfterGatherAndRotationOfItsBatch) {
  RowMemory keys({DType::kF32, 60, 2, 8, 3}, RowLayout::kPagedHeadMajor, random_);
  for (float value = -1; const int64_t token : RandomPositions(60, 60, true)) {
    for (int64_t head = 0; head < 2; ++head) {
      std::vector<float> dims(8, value += 0.01f);
      std::memcpy(keys.MutableRows().data + HeadOffset(keys.Rows(), token, head), dims.data(), 8 * sizeof(float));
    }
  }
  const std::vector<int32_t> positions = RandomPositions(30, 60, true);
  std::vector<int32_t> slots(30);
  std::iota(slots.begin(), slots.end(), 0);
  const RopeShape rope = {0, 8, false, {1, 0.5, 0.25, 0.125}};
  const auto rotate_of = [&](std::vector<std::byte>& rows) {
    return RotateTask{TokenMajorRows(rows.data(), DType::kF32, 30, 2, 8), positions, &rope, rows.data()};
  };

  std::vector<std::byte> turned(30 * 2 * 8 * sizeof(float));
  ASSERT_TRUE(Gather(keys.Rows(), positions, turned).ok());
  const RotateTask alone = rotate_of(turned);
  Batch rotating;
  rotating.rotate = absl::MakeConstSpan(&alone, 1);
  ASSERT_TRUE(RunBatch(compactor(), Plan(), rotating, context_).ok());

  RowMemory cache({DType::kF32, 40, 2, 8, 16}, RowLayout::kPaged, random_);
  const std::vector<std::byte> wanted = Scattered(cache, turned, slots);
  std::vector<std::byte> rows(turned.size());
  const GatherTask gather{keys.Rows(), positions, rows.data()};
  const RotateTask rotate = rotate_of(rows);
  const ScatterTask scatter{rows.data(), slots, cache.MutableRows()};
  Batch batch;
  batch.gather = absl::MakeConstSpan(&gather, 1);
  batch.rotate = absl::MakeConstSpan(&rotate, 1);
  batch.scatter = absl::MakeConstSpan(&scatter, 1);
  ASSERT_TRUE(RunBatch(compactor(), Plan(), batch, context_).ok());
  EXPECT_EQ(cache.bytes(), wanted);
}

TEST_P(CompactorScatter, RefusesPositionsOutsideTheCache) {
  const std::vector<int32_t> lists[] = {{-1},       {10},          {INT32_MAX},  {INT32_MIN}, {3, -1},
                                        {3, 10},    {9, 10},       {-1, 0},      {10, 9, 8},  {INT32_MAX, INT32_MIN},
                                        {3, 11, 4}, {8, 9, 10, 0}, {15, 0, 1, 2}};
  for (const RowLayout layout : kRowLayouts) {
    for (const int32_t head_size : {0, 4}) {
      for (const std::vector<int32_t>& positions : lists) {
        RowMemory cache({DType::kF16, 10, 2, head_size, 3}, layout, random_);
        const std::vector<std::byte> rows = RandomBytes(positions.size() * RowBytes(cache.Rows()));
        const std::vector<std::byte> before = cache.bytes();
        EXPECT_EQ(StatusReason(Scatter(rows, positions, cache.MutableRows())), "BAD_POSITIONS")
            << ::testing::PrintToString(positions) << ", layout " << static_cast<int>(layout);
        std::vector<int32_t> good;
        for (const int32_t position : positions) {
          if (position >= 0 && position < 10) good.push_back(position);
        }
        // Rows at good positions may have been written; nothing else.
        const std::vector<std::byte> blank(rows.size());
        RowMemory after = cache;
        cache.bytes() = before;
        EXPECT_EQ(Scattered(after, blank, good), Scattered(cache, blank, good));
      }
    }
  }
}

TEST_P(CompactorScatter, RefusesBlockIdsOutsideTheCache) {
  for (const RowLayout layout : {RowLayout::kPaged, RowLayout::kPagedHeadMajor}) {
    for (const int32_t block_token_count : {1, 3, 16}) {
      RowMemory cache({DType::kBF16, 40, 2, 8, block_token_count}, layout, random_);
      const std::vector<int32_t> positions = {20, 0, 39};
      const std::vector<std::byte> rows = RandomBytes(3 * RowBytes(cache.Rows()));
      for (const int32_t id : {-1, cache.Rows().block_count, INT32_MIN, INT32_MAX}) {
        cache.block_ids().back() = id;
        EXPECT_EQ(StatusReason(Scatter(rows, positions, cache.MutableRows())), "BAD_POSITIONS") << id;
      }
    }
  }
}

TEST_P(CompactorScatter, IsCancelled) {
  context_.cancelled = [] { return true; };
  RowMemory cache({DType::kF16, 300, 1, 8}, RowLayout::kPaged, random_);
  const std::vector<std::byte> rows = RandomBytes(300 * 16);
  const std::vector<std::byte> before = cache.bytes();
  EXPECT_EQ(StatusReason(Scatter(rows, RandomPositions(300, 300, true), cache.MutableRows())), "CANCELLED");
  EXPECT_EQ(cache.bytes(), before);
}

}  // namespace
}  // namespace chunkkv::testing
