// Grids: no larger than the context allows, and a request of many layers in a handful of launches.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "tests/unit/cuda/agreement.h"
#include "tests/unit/kernels/agreement.h"

namespace chunkkv::testing {
namespace {

TEST(GridTest, HasNoMoreBlocksThanTheContextAllowsAndGivesTheSameBits) {
  for (const ScoreSource source : {ScoreSource::kQueryWindow, ScoreSource::kAttention}) {
    for (const DType dtype : {DType::kBF16, DType::kF32}) {
      PromptOptions options;
      options.token_count = 700;
      options.layer_count = 3;
      options.key_head_size = options.value_head_size = 64;
      options.dtype = dtype;
      options.source = source;
      options.has_sink_logits = true;
      options.layout = RowLayout::kPaged;
      const RandomPrompt prompt(options, 1);
      const Plan plan = PlanFor(KeepByChunks(0.3, 8), prompt.shape());
      EmulatedDevice unlimited;
      const CompactionOutcome expected = unlimited.Compact(plan, prompt.layers());
      int64_t most = 0;
      for (const LaunchSeen& launch : unlimited.launches()) most = std::max(most, launch.block_count);
      EXPECT_GT(most, 3);
      for (const int32_t limit : {1, 2, 3}) {
        EmulatedDevice device;
        device.set_max_sm_count(limit);
        ExpectSameBits(device.Compact(plan, prompt.layers()), expected);
        for (const LaunchSeen& launch : device.launches()) EXPECT_LE(launch.block_count, limit) << launch.kernel;
      }
    }
  }
}

TEST(GridTest, RotationsAndScattersKeepToTheLimit) {
  std::mt19937 random(1);
  const RowMemory rows({DType::kF16, 200, 2, 64}, RowLayout::kTokenMajor, random);
  std::vector<int32_t> positions;
  for (int32_t at = 0; at < 200; ++at) positions.push_back(at * 3);
  RopeShape rope;
  rope.rotary_dims = 64;
  for (int i = 0; i < 32; ++i) rope.inv_freq.push_back(1.0 / (1 + i));
  std::vector<int32_t> slots(200);
  for (int32_t at = 0; at < 200; ++at) slots[at] = 199 - at;
  std::vector<std::vector<std::byte>> results;
  for (const int32_t limit : {0, 1, 2, 3}) {
    std::vector<std::byte> rotated(200 * 2 * 64 * 2);
    RowMemory cache({DType::kF16, 200, 2, 64}, RowLayout::kPaged, random);
    RotateTask rotate;
    rotate.source = rows.Rows();
    rotate.positions = positions;
    rotate.rope = &rope;
    rotate.destination = rotated.data();
    ScatterTask scatter;
    scatter.source = rotated.data();
    scatter.positions = slots;
    scatter.destination = cache.MutableRows();
    Batch batch;
    batch.rotate = absl::MakeConstSpan(&rotate, 1);
    batch.scatter = absl::MakeConstSpan(&scatter, 1);
    EmulatedDevice device;
    device.set_max_sm_count(limit);
    ASSERT_TRUE(device.Run(Plan(), batch).ok());
    for (const LaunchSeen& launch : device.launches()) {
      EXPECT_LE(launch.block_count, limit == 0 ? INT32_MAX : limit) << launch.kernel;
    }
    results.push_back(rotated);
    for (int64_t token = 0; token < 200; ++token) {
      EXPECT_EQ(std::memcmp(cache.Rows().data + HeadOffset(cache.Rows(), slots[token], 0), &rotated[token * 256], 128),
                0);
    }
  }
  for (const std::vector<std::byte>& result : results) EXPECT_EQ(result, results[0]);
}

}  // namespace
}  // namespace chunkkv::testing
