#include "tests/gpu/expect_outcome.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/unit/kernels/near_ties.h"
#include "tests/unit/kernels/row_memory.h"

namespace chunkkv::testing {
namespace {

constexpr double kMassTolerance = 1e-4;

void ExpectRows(const RowsView& rows, const std::vector<int32_t>& positions, const std::vector<std::byte>& kept) {
  const size_t head_bytes = DTypeSize(rows.dtype) * rows.head_size;
  ASSERT_EQ(kept.size(), positions.size() * rows.head_count * head_bytes);
  const std::byte* at = kept.data();
  for (const int32_t position : positions) {
    for (int32_t head = 0; head < rows.head_count; ++head, at += head_bytes) {
      const std::byte* row = rows.data + HeadOffset(rows, position, head);
      ASSERT_EQ(std::memcmp(at, row, head_bytes), 0) << "token " << position << ", head " << head;
    }
  }
}

// Sums over the layers that choose for `group`.
std::vector<double> ScoresOfGroup(const Plan& plan, int32_t group, const CompactionOutcome& outcome) {
  std::vector<double> sums(plan.past_length);
  for (const auto& [layer, scores] : outcome.token_scores) {
    if (plan.GroupOf(layer) != group) continue;
    for (size_t j = 0; j < scores.size(); ++j) sums[j] += scores[j];
  }
  return sums;
}

}  // namespace

void ExpectAgrees(const Plan& plan, const std::vector<LayerInput>& layers, double tolerance,
                  const CompactionOutcome& truth, const CompactionOutcome& outcome) {
  ASSERT_TRUE(truth.status.ok()) << truth.status;
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  for (const auto& [layer, scores] : truth.token_scores) {
    const std::vector<float>& ours = outcome.token_scores.at(layer);
    for (size_t j = 0; j < scores.size(); ++j) {
      ASSERT_NEAR(ours[j], scores[j], 2 * tolerance * scores[j]) << "layer " << layer << ", token " << j;
    }
  }
  for (size_t g = 0; g < plan.groups.size(); ++g) {
    const std::vector<double> scores = ScoresOfGroup(plan, static_cast<int32_t>(g), truth);
    ASSERT_TRUE(IsAcceptable(plan, plan.budget, scores, 2 * tolerance, outcome.positions[g])) << "group " << g;
  }
  for (const auto& [layer, mass] : truth.retained_mass) {
    ASSERT_NEAR(outcome.retained_mass.at(layer), mass, kMassTolerance) << "layer " << layer;
  }
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    const std::vector<int32_t>& positions = outcome.positions[plan.GroupOf(static_cast<int32_t>(layer))];
    ExpectRows(layers[layer].keys, positions, outcome.keys[layer]);
    ExpectRows(layers[layer].values, positions, outcome.values[layer]);
  }
}

void ExpectSame(const CompactionOutcome& a, const CompactionOutcome& b) {
  ASSERT_TRUE(a.status.ok() && b.status.ok()) << a.status << b.status;
  // Not EXPECT_EQ, which would print them.
  EXPECT_TRUE(a.token_scores == b.token_scores);
  EXPECT_TRUE(a.positions == b.positions);
  EXPECT_TRUE(a.retained_mass == b.retained_mass);
  EXPECT_TRUE(a.keys == b.keys);
  EXPECT_TRUE(a.values == b.values);
}

}  // namespace chunkkv::testing
