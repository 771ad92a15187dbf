#include "tests/unit/cuda/agreement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "tests/unit/kernels/near_ties.h"

namespace chunkkv::testing {
namespace {

void ExpectRows(const RowsView& rows, const std::vector<int32_t>& positions, const std::vector<std::byte>& kept) {
  const size_t head_bytes = DTypeSize(rows.dtype) * rows.head_size;
  ASSERT_EQ(kept.size(), positions.size() * rows.head_count * head_bytes);
  const std::byte* at = kept.data();
  for (const int32_t position : positions) {
    for (int32_t head = 0; head < rows.head_count && head_bytes > 0; ++head, at += head_bytes) {
      ASSERT_EQ(std::memcmp(at, rows.data + HeadOffset(rows, position, head), head_bytes), 0)
          << "token " << position << ", head " << head;
    }
  }
}

}  // namespace

CompactionSpec KeepByChunks(double ratio, int32_t window_length) {
  CompactionSpec spec;
  spec.policy = Policy::kChunkKv;
  spec.keep_ratio = ratio;
  spec.window_length = window_length;
  return spec;
}

Plan PlanFor(const CompactionSpec& spec, const CompactionShape& shape) {
  auto plan = MakePlan(spec, shape);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *std::move(plan);
}

void ExpectAgreesWithReference(EmulatedDevice& device, const Plan& plan, const RandomPrompt& prompt) {
  const CompactionOutcome truth = Compact(*MakeReferenceCompactor(), plan, prompt.layers());
  const CompactionOutcome outcome = device.Compact(plan, prompt.layers());
  ASSERT_TRUE(truth.status.ok()) << truth.status;
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  double most_tolerance = 0;
  for (const auto& [layer, scores] : truth.token_scores) {
    const double tolerance = NearTieTolerance(plan, layer, prompt.layers()[layer]);
    most_tolerance = std::max(most_tolerance, tolerance);
    const std::vector<float>& ours = outcome.token_scores.at(layer);
    for (size_t j = 0; j < scores.size(); ++j) {
      ASSERT_NEAR(ours[j], scores[j], tolerance * scores[j] + 1e-30) << "layer " << layer << ", token " << j;
    }
  }
  for (size_t g = 0; g < plan.groups.size(); ++g) {
    const ReuseGroup& group = plan.groups[g];
    std::vector<double> scores(plan.past_length, 0.0);
    for (int32_t layer = group.first_layer; layer < group.first_layer + group.layer_count; ++layer) {
      if (!plan.IsScored(layer)) continue;
      for (int64_t j = 0; j < plan.past_length; ++j) scores[j] += truth.token_scores.at(layer)[j];
    }
    EXPECT_TRUE(IsAcceptable(plan, plan.budget, scores, most_tolerance, outcome.positions[g])) << "group " << g;
  }
  for (const auto& [layer, mass] : outcome.retained_mass) EXPECT_NEAR(mass, truth.retained_mass.at(layer), 1e-4);
  for (size_t layer = 0; layer < prompt.layers().size(); ++layer) {
    const std::vector<int32_t>& positions = outcome.positions[plan.GroupOf(static_cast<int32_t>(layer))];
    ExpectRows(prompt.layers()[layer].keys, positions, outcome.keys[layer]);
    ExpectRows(prompt.layers()[layer].values, positions, outcome.values[layer]);
  }
}

void ExpectSameBits(const CompactionOutcome& a, const CompactionOutcome& b) {
  EXPECT_TRUE(a.status.ok() && b.status.ok()) << a.status << b.status;
  EXPECT_EQ(a.token_scores, b.token_scores);
  EXPECT_EQ(a.positions, b.positions);
  EXPECT_EQ(a.retained_mass, b.retained_mass);
  EXPECT_EQ(a.keys, b.keys);
  EXPECT_EQ(a.values, b.values);
}

}  // namespace chunkkv::testing
