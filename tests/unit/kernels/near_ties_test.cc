// The conformance suite's own judge: it must not accept a wrong choice.
#include "tests/unit/kernels/near_ties.h"

#include <gtest/gtest.h>

namespace chunkkv::testing {
namespace {

constexpr double kTolerance = 1e-5;

// Chunks of 2 in a past of 6, window of 2.
Plan ChunkPlan() {
  Plan plan;
  plan.policy = Policy::kChunkKv;
  plan.source = ScoreSource::kTokenScores;
  plan.token_count = 8;
  plan.window_length = 2;
  plan.past_length = 6;
  plan.chunk_length = 2;
  return plan;
}

bool Accepts(int64_t budget, const std::vector<double>& scores, const std::vector<int32_t>& selection) {
  return IsAcceptable(ChunkPlan(), budget, scores, kTolerance, selection);
}

TEST(NearTiesTest, AcceptsTheBestChunksOnly) {
  const std::vector<double> scores = {1, 1, 3, 3, 2, 2};
  EXPECT_TRUE(Accepts(4, scores, {2, 3, 6, 7}));
  EXPECT_FALSE(Accepts(4, scores, {4, 5, 6, 7}));
  EXPECT_TRUE(Accepts(5, scores, {2, 3, 4, 6, 7}));
  EXPECT_FALSE(Accepts(5, scores, {2, 3, 5, 6, 7})) << "a cut chunk gives its first tokens";
  EXPECT_FALSE(Accepts(5, scores, {0, 2, 3, 6, 7}));
  EXPECT_FALSE(Accepts(5, scores, {2, 4, 5, 6, 7})) << "the better chunk is cut";
  EXPECT_FALSE(Accepts(4, scores, {0, 2, 6, 7})) << "two chunks are cut";
}

TEST(NearTiesTest, RefusesListsThatAreNoSelection) {
  const std::vector<double> scores = {1, 1, 3, 3, 2, 2};
  EXPECT_FALSE(Accepts(4, scores, {3, 2, 6, 7}));
  EXPECT_FALSE(Accepts(4, scores, {2, 2, 6, 7}));
  EXPECT_FALSE(Accepts(4, scores, {2, 3, 6})) << "fewer than the budget";
  EXPECT_FALSE(Accepts(4, scores, {2, 3, 4, 7})) << "without the window";
  EXPECT_FALSE(Accepts(4, scores, {2, 3, 6, 8}));
}

TEST(NearTiesTest, AcceptsAnyOrderOfNearTies) {
  const std::vector<double> scores = {1, 1, 3, 3, 3, 3 * (1 + 0.9e-5)};
  EXPECT_TRUE(Accepts(4, scores, {2, 3, 6, 7}));
  EXPECT_TRUE(Accepts(4, scores, {4, 5, 6, 7}));
  EXPECT_FALSE(Accepts(4, scores, {0, 1, 6, 7}));
  EXPECT_FALSE(Accepts(4, {1, 1, 3, 3, 3, 3 * (1 + 5e-5)}, {2, 3, 6, 7}));
}

}  // namespace
}  // namespace chunkkv::testing
