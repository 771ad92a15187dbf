#include "tests/unit/kernels/agreement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "tests/unit/kernels/near_ties.h"
#include "tests/unit/kernels/row_memory.h"

namespace chunkkv::testing {

void ExpectRows(const RowsView& rows, const std::vector<int32_t>& positions, const std::vector<std::byte>& kept) {
  const size_t head_bytes = DTypeSize(rows.dtype) * rows.head_size;
  ASSERT_EQ(kept.size(), positions.size() * rows.head_count * head_bytes);
  const std::byte* at = kept.data();
  for (const int32_t position : positions) {
    for (int32_t head = 0; head < rows.head_count && head_bytes > 0; ++head, at += head_bytes) {
      const std::byte* row = rows.data + HeadOffset(rows, position, head);
      ASSERT_EQ(std::memcmp(at, row, head_bytes), 0) << "token " << position << " head " << head;
    }
  }
}

void ExpectAgrees(const Plan& plan, const std::vector<LayerInput>& layers,
                  const std::function<double(int32_t layer)>& tolerance, const CompactionOutcome& truth,
                  const CompactionOutcome& outcome) {
  ASSERT_TRUE(truth.status.ok()) << truth.status;
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  double largest = 0;
  for (const auto& [layer, scores] : truth.token_scores) {
    const double t = tolerance(layer);
    largest = std::max(largest, t);
    const std::vector<float>& ours = outcome.token_scores.at(layer);
    for (size_t j = 0; j < scores.size(); ++j) {
      ASSERT_NEAR(ours[j], scores[j], t * scores[j] + 1e-30) << "layer " << layer << " token " << j;
    }
  }
  for (size_t g = 0; g < plan.groups.size(); ++g) {
    std::vector<double> scores(plan.past_length, 0.0);
    for (int32_t layer = plan.groups[g].first_layer; layer < plan.groups[g].first_layer + plan.groups[g].layer_count;
         ++layer) {
      if (!plan.IsScored(layer)) continue;
      for (int64_t j = 0; j < plan.past_length; ++j) scores[j] += truth.token_scores.at(layer)[j];
    }
    EXPECT_TRUE(IsAcceptable(plan, plan.budget, scores, largest, outcome.positions[g]))
        << "group " << g << " keeps " << ::testing::PrintToString(outcome.positions[g]);
  }
  for (const auto& [layer, mass] : outcome.retained_mass) {
    const std::vector<float>& scores = truth.token_scores.at(layer);
    double kept = 0;
    for (const int32_t position : outcome.positions[plan.GroupOf(layer)]) {
      if (position < plan.past_length) kept += scores[position];
    }
    const double all = std::accumulate(scores.begin(), scores.end(), 0.0);
    EXPECT_NEAR(mass, all == 0 ? 1.0 : kept / all, 1e-4);
  }
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    const std::vector<int32_t>& positions = outcome.positions[plan.GroupOf(static_cast<int32_t>(layer))];
    ExpectRows(layers[layer].keys, positions, outcome.keys[layer]);
    ExpectRows(layers[layer].values, positions, outcome.values[layer]);
  }
}

void ExpectAgrees(const Plan& plan, const RandomPrompt& prompt, const CompactionOutcome& truth,
                  const CompactionOutcome& outcome) {
  const auto tolerance = [&](int32_t layer) { return NearTieTolerance(plan, layer, prompt.layers()[layer]); };
  ExpectAgrees(plan, prompt.layers(), tolerance, truth, outcome);
}

void ExpectSameBits(const CompactionOutcome& a, const CompactionOutcome& b) {
  ASSERT_TRUE(a.status.ok() && b.status.ok()) << a.status << b.status;
  // Not EXPECT_EQ, which would print them.
  EXPECT_TRUE(a.token_scores == b.token_scores);
  EXPECT_TRUE(a.positions == b.positions);
  EXPECT_TRUE(a.retained_mass == b.retained_mass);
  EXPECT_TRUE(a.keys == b.keys);
  EXPECT_TRUE(a.values == b.values);
}

}  // namespace chunkkv::testing
