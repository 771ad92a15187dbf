// Re-rotation by every implementation, in batches that are cut into pieces for several threads.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "kernels/common/half.h"
#include "tests/unit/kernels/compaction_run.h"
#include "tests/unit/kernels/implementations.h"
#include "tests/unit/kernels/unit_in_last_place.h"

namespace chunkkv::testing {
namespace {

constexpr int64_t kRows = 300;
constexpr int32_t kHeads = 9;
constexpr int32_t kHeadSize = 64;
constexpr int64_t kElements = kRows * kHeads * kHeadSize;
static_assert(kElements * 2 > 256 << 10, "more than one piece, f16 included");

class CompactorRotation : public PerImplementation {};
CHUNKKV_FOR_EACH_IMPLEMENTATION(CompactorRotation);

std::vector<std::byte> RandomKeys(DType dtype) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<std::byte> keys(kElements * DTypeSize(dtype));
  for (int64_t e = 0; e < kElements; ++e) StoreElement(normal(random), keys.data(), dtype, e);
  return keys;
}

// Kept positions with runs and gaps, the last beyond what float32 counts exactly.
std::vector<int32_t> KeptPositions() {
  std::vector<int32_t> positions;
  for (int32_t at = 0; positions.size() < kRows - 1; at += at % 5 == 4 ? 7 : 1) positions.push_back(at);
  positions.push_back((1 << 24) + 1);
  return positions;
}

RopeShape Rope(bool interleaved) {
  RopeShape rope = {4, 48, interleaved, {}};
  for (int i = 0; i < 24; ++i) rope.inv_freq.push_back(std::pow(10000.0, -i / 24.0));
  return rope;
}

void ExpectRotated(const std::vector<std::byte>& keys, const std::vector<int32_t>& positions, const RopeShape& rope,
                   DType dtype, const std::vector<std::byte>& rotated) {
  const int32_t pairs = rope.rotary_dims / 2;
  for (int64_t n = 0; n < kRows; ++n) {
    for (int32_t i = 0; i < pairs; ++i) {
      const double angle = static_cast<double>(n - positions[n]) * rope.inv_freq[i];
      const double cosine = std::cos(angle);
      const double sine = std::sin(angle);
      for (int32_t head = 0; head < kHeads; ++head) {
        const int64_t row = (n * kHeads + head) * kHeadSize + rope.first_dim;
        const int64_t first = row + (rope.interleaved ? 2 * i : i);
        const int64_t second = rope.interleaved ? first + 1 : first + pairs;
        const double x = LoadElement(keys.data(), dtype, first);
        const double y = LoadElement(keys.data(), dtype, second);
        const double turned_x = x * cosine - y * sine;
        const double turned_y = x * sine + y * cosine;
        const double unit = UnitInLastPlace(dtype, std::max(std::fabs(turned_x), std::fabs(turned_y)));
        ASSERT_NEAR(LoadElement(rotated.data(), dtype, first), turned_x, unit) << "row " << n << " pair " << i;
        ASSERT_NEAR(LoadElement(rotated.data(), dtype, second), turned_y, unit) << "row " << n << " pair " << i;
      }
    }
    for (int64_t e = n * kHeads * kHeadSize; e < (n + 1) * kHeads * kHeadSize; ++e) {
      const int64_t in_rope = e % kHeadSize - rope.first_dim;
      if (in_rope >= 0 && in_rope < rope.rotary_dims) continue;
      ASSERT_EQ(LoadElement(rotated.data(), dtype, e), LoadElement(keys.data(), dtype, e)) << "row " << n;
    }
  }
}

TEST_P(CompactorRotation, TurnsEveryRowOfEveryPieceOnSeveralThreads) {
  const std::vector<int32_t> positions = KeptPositions();
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const bool interleaved : {false, true}) {
      const std::vector<std::byte> keys = RandomKeys(dtype);
      const RopeShape rope = Rope(interleaved);
      std::vector<std::byte> apart(keys.size());
      std::vector<std::byte> in_place = keys;
      const RotateTask tasks[] = {
          {TokenMajorRows(keys.data(), dtype, kRows, kHeads, kHeadSize), positions, &rope, apart.data()},
          {TokenMajorRows(in_place.data(), dtype, kRows, kHeads, kHeadSize), positions, &rope, in_place.data()}};
      Batch batch;
      batch.rotate = tasks;
      ExecutionContext context;
      context.run_parallel = OnThreads(3);
      ASSERT_TRUE(RunBatch(compactor(), Plan(), batch, context).ok());
      ExpectRotated(keys, positions, rope, dtype, apart);
      EXPECT_EQ(in_place, apart) << DTypeName(dtype);
    }
  }
}

}  // namespace
}  // namespace chunkkv::testing
