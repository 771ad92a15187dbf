#include "service/session/range_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace chunkkv {
namespace {

TEST(RangeSetTest, RefusesOverlapOfEveryKind) {
  RangeSet set;
  ASSERT_EQ(set.Insert(10, 20), RangeSet::Inserted::kYes);
  const int64_t overlaps[][2] = {{10, 20}, {12, 15}, {0, 11}, {19, 30}, {0, 30}, {10, 11}, {19, 20}};
  for (const auto& [begin, end] : overlaps) {
    EXPECT_EQ(set.Insert(begin, end), RangeSet::Inserted::kOverlaps) << begin << " " << end;
  }
  EXPECT_EQ(set.Insert(20, 30), RangeSet::Inserted::kYes);
  EXPECT_EQ(set.Insert(0, 10), RangeSet::Inserted::kYes);
  EXPECT_EQ(set.FirstGap(), 30);
}

TEST(RangeSetTest, KeepsOneRangeOfPartsInOrder) {
  RangeSet set;
  for (int64_t i = 0; i < 3 * static_cast<int64_t>(RangeSet::kMaxRanges); ++i) {
    ASSERT_EQ(set.Insert(i, i + 1), RangeSet::Inserted::kYes);
  }
  EXPECT_EQ(set.FirstGap(), 3 * static_cast<int64_t>(RangeSet::kMaxRanges));
}

TEST(RangeSetTest, LimitsRangesButStillClosesGaps) {
  RangeSet set;
  for (size_t i = 0; i < RangeSet::kMaxRanges; ++i) {
    ASSERT_EQ(set.Insert(2 * i + 1, 2 * i + 2), RangeSet::Inserted::kYes);
  }
  EXPECT_EQ(set.Insert(100'000, 100'001), RangeSet::Inserted::kTooManyRanges);
  EXPECT_EQ(set.Insert(2, 3), RangeSet::Inserted::kYes);
  EXPECT_EQ(set.Insert(100'000, 100'001), RangeSet::Inserted::kYes);
  EXPECT_EQ(set.FirstGap(), 0);
}

TEST(RangeSetTest, AgreesWithABitmap) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    RangeSet set;
    std::vector<bool> taken(64, false);
    for (int i = 0; i < 40; ++i) {
      const int64_t begin = random() % 63;
      const int64_t end = begin + 1 + random() % (64 - begin);
      bool overlaps = false;
      for (int64_t at = begin; at < end; ++at) overlaps |= taken[at];
      ASSERT_EQ(set.Insert(begin, end), overlaps ? RangeSet::Inserted::kOverlaps : RangeSet::Inserted::kYes);
      if (!overlaps) std::fill(taken.begin() + begin, taken.begin() + end, true);
      const auto gap = std::find(taken.begin(), taken.end(), false) - taken.begin();
      ASSERT_EQ(set.FirstGap(), gap);
    }
  }
}

}  // namespace
}  // namespace chunkkv
