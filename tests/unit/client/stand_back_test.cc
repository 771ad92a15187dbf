#include "client/cpp/stand_back.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace chunkkv::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class StandBackTest : public testing::Test {
 protected:
  StandBackTest() {
    options_.random = [this] { return draw_; };
  }

  double draw_ = 0;
  RoutedOptions options_;
  StandBack stand_back_;
  StandBack::Time now_{std::chrono::hours(1)};
};

TEST_F(StandBackTest, DoublesToItsLongestAndIsResetByAnAnswer) {
  std::vector<int64_t> intervals;
  for (int i = 0; i < 7; ++i) {
    stand_back_.NoteFailure(now_, options_);
    stand_back_.NoteFailure(now_ + milliseconds(500), options_);  // of a call beside it
    seconds step(1);
    while (!stand_back_.IsOver(now_ + step)) ++step;
    intervals.push_back(step.count());
    now_ += step;
  }
  EXPECT_THAT(intervals, testing::ElementsAre(1, 2, 4, 8, 16, 30, 30));
  stand_back_.NoteAnswer();
  EXPECT_TRUE(stand_back_.IsOver(now_));
  stand_back_.NoteFailure(now_, options_);
  EXPECT_FALSE(stand_back_.IsOver(now_ + milliseconds(999)));
  EXPECT_TRUE(stand_back_.IsOver(now_ + seconds(1)));
}

TEST_F(StandBackTest, JitterTakesUpToAFifth) {
  options_.pass_over = seconds(10);
  for (const auto& [draw, interval] : {std::pair(0.0, 10'000), std::pair(0.5, 9'000), std::pair(1.0, 8'000)}) {
    draw_ = draw;
    stand_back_.NoteAnswer();
    stand_back_.NoteFailure(now_, options_);
    EXPECT_FALSE(stand_back_.IsOver(now_ + milliseconds(interval - 1)));
    EXPECT_TRUE(stand_back_.IsOver(now_ + milliseconds(interval + 1)));
  }
}

TEST(UniformRandomTest, IsFromZeroToOne) {
  double least = 1, most = 0;
  for (int i = 0; i < 1000; ++i) {
    const double draw = UniformRandom();
    least = std::min(least, draw);
    most = std::max(most, draw);
  }
  EXPECT_GE(least, 0);
  EXPECT_LT(most, 1);
  EXPECT_LT(least, 0.1);
  EXPECT_GT(most, 0.9);
}

}  // namespace
}  // namespace chunkkv::client
