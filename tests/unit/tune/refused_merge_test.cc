#include "client/tune/refused_merge.h"

#include <gtest/gtest.h>

namespace chunkkv::tune {
namespace {

constexpr ReuseGroup kFirst{0, 1, 0}, kSecond{1, 1, 1};

LossTable TwoLayers() {
  LossTable losses(2, 2);
  losses.Led(0, 1) = {0.30, 0.40, 3};
  losses.Led(1, 0) = {0.10, 0.90, 4};
  losses.Summed(0, 2, 0) = {0.05, 0.20, 5};
  losses.Summed(0, 2, 1) = {0.15, 0.20, 6};
  return losses;
}

TEST(RefusedMergeTest, NamesTheWayThatLosesLeast) {
  const RefusedMerge refused =
      WhyNotMerged(TwoLayers(), {.max_loss = 0.02, .max_worst_loss = {}, .only = {}}, kFirst, kSecond);
  EXPECT_EQ(refused.best, (ReuseGroup{0, 2, 1}));
  EXPECT_EQ(refused.layer, 0);
  EXPECT_EQ(refused.loss.mean, 0.10);
  EXPECT_EQ(refused.loss.worst_prompt, 4);
}

TEST(RefusedMergeTest, OfWaysWithinTheMeanTheWorstPromptDecides) {
  const RefusedMerge refused =
      WhyNotMerged(TwoLayers(), {.max_loss = 0.20, .max_worst_loss = 0.1, .only = {}}, kFirst, kSecond);
  EXPECT_EQ(refused.best, (ReuseGroup{0, 2, -1}));
  EXPECT_EQ(refused.loss.worst, 0.20);
}

TEST(RefusedMergeTest, OnlyTheAllowedWays) {
  const RefusedMerge refused =
      WhyNotMerged(TwoLayers(), {.max_loss = 0.02, .max_worst_loss = {}, .only = GroupScore::kSum}, kFirst, kSecond);
  EXPECT_EQ(refused.best, (ReuseGroup{0, 2, -1}));
  EXPECT_EQ(refused.layer, 1);
}

TEST(RefusedMergeTest, TooLongTogether) {
  const LossTable losses(4, 2);
  EXPECT_FALSE(WhyNotMerged(losses, {}, {0, 2, 0}, {2, 1, 2}).best.has_value());
}

}  // namespace
}  // namespace chunkkv::tune
