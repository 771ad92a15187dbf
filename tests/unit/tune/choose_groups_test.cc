#include "client/tune/choose_groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <tuple>

namespace chunkkv::tune {
namespace {

using testing::ElementsAre;

using Cost = std::tuple<size_t, int32_t, double>;

// Every loss is `loss`; a layer's own choice costs it nothing.
LossTable Uniform(int32_t layer_count, int32_t max_group, double loss) {
  LossTable losses(layer_count, max_group);
  for (int32_t one = 0; one < layer_count; ++one) {
    for (int32_t other = 0; other < layer_count; ++other) {
      if (one != other && std::abs(one - other) < losses.max_group()) losses.Led(one, other) = {loss, loss, 0};
    }
    for (int32_t count = 2; count <= losses.max_group() && one + count <= layer_count; ++count) {
      for (int32_t layer = one; layer < one + count; ++layer) losses.Summed(one, count, layer) = {loss, loss, 0};
    }
  }
  return losses;
}

TEST(ChooseGroupsTest, LayersThatLoseTooMuchStayAlone) {
  EXPECT_THAT(ChooseGroups(Uniform(3, 8, 0.03), {.max_loss = 0.02, .max_worst_loss = {}, .only = {}}),
              ElementsAre(ReuseGroup{0, 1, 0}, ReuseGroup{1, 1, 1}, ReuseGroup{2, 1, 2}));
}

TEST(ChooseGroupsTest, TheBoundItselfIsWithin) {
  EXPECT_THAT(ChooseGroups(Uniform(3, 8, 0.02), {.max_loss = 0.02, .max_worst_loss = {}, .only = {}}),
              ElementsAre(ReuseGroup{0, 3, 0}));
}

TEST(ChooseGroupsTest, GroupsAreNoLongerThanAllowedAndTheFirstAreLongest) {
  EXPECT_THAT(ChooseGroups(Uniform(7, 3, 0), {.max_loss = 0.02, .max_worst_loss = {}, .only = {}}),
              ElementsAre(ReuseGroup{0, 3, 0}, ReuseGroup{3, 3, 3}, ReuseGroup{6, 1, 6}));
}

TEST(ChooseGroupsTest, TheLeaderNeedNotBeTheFirst) {
  LossTable losses = Uniform(3, 3, 0.5);
  losses.Led(1, 0).mean = losses.Led(1, 2).mean = 0.01;
  EXPECT_THAT(ChooseGroups(losses, {.max_loss = 0.02, .max_worst_loss = {}, .only = {}}),
              ElementsAre(ReuseGroup{0, 3, 1}));
}

TEST(ChooseGroupsTest, SumWhereNoLeaderWillDo) {
  LossTable losses = Uniform(2, 2, 0.5);
  losses.Summed(0, 2, 0).mean = losses.Summed(0, 2, 1).mean = 0.01;
  const GroupRules rules{.max_loss = 0.02, .max_worst_loss = {}, .only = {}};
  EXPECT_THAT(ChooseGroups(losses, rules), ElementsAre(ReuseGroup{0, 2, -1}));
  GroupRules leaders = rules, sums = rules;
  leaders.only = GroupScore::kLeader;
  sums.only = GroupScore::kSum;
  EXPECT_THAT(ChooseGroups(losses, leaders), ElementsAre(ReuseGroup{0, 1, 0}, ReuseGroup{1, 1, 1}));
  EXPECT_THAT(ChooseGroups(losses, sums), ElementsAre(ReuseGroup{0, 2, -1}));
}

TEST(ChooseGroupsTest, ALeaderIsCheaperThanASumThatLosesLess) {
  LossTable losses = Uniform(2, 2, 0.01);
  losses.Summed(0, 2, 0).mean = losses.Summed(0, 2, 1).mean = 0;
  losses.Led(1, 0).mean = 0.005;
  EXPECT_THAT(ChooseGroups(losses, {.max_loss = 0.02, .max_worst_loss = {}, .only = {}}),
              ElementsAre(ReuseGroup{0, 2, 1}));
}

TEST(ChooseGroupsTest, TheWorstPromptHasItsOwnBound) {
  LossTable losses = Uniform(2, 2, 0.01);
  losses.Led(0, 1).worst = 0.4;
  const auto groups = [&](std::optional<double> worst) {
    return ChooseGroups(losses, {.max_loss = 0.02, .max_worst_loss = worst, .only = GroupScore::kLeader});
  };
  EXPECT_THAT(groups({}), ElementsAre(ReuseGroup{0, 2, 0}));
  EXPECT_THAT(groups(0.1), ElementsAre(ReuseGroup{0, 2, 1}));
  EXPECT_THAT(groups(0.005), testing::SizeIs(2));
}

TEST(ChooseGroupsTest, NoLayersNoGroups) { EXPECT_THAT(ChooseGroups(LossTable(0, 4), {}), testing::IsEmpty()); }

// Of all ways to group the layers from `first` on, the least cost within the rules.
void TryAll(const LossTable& losses, const GroupRules& rules, int32_t first, const Cost& so_far, Cost* best) {
  if (first == losses.layer_count()) {
    *best = std::min(*best, so_far);
    return;
  }
  const auto& [groups, scored, sum] = so_far;
  for (int32_t count = 1; count <= losses.max_group() && first + count <= losses.layer_count(); ++count) {
    for (int32_t leader = -1; leader < first + count; leader = leader < 0 ? first : leader + 1) {
      if (count > 1 && rules.only && (*rules.only == GroupScore::kSum) != (leader < 0)) continue;
      const ReuseGroup group{first, count, leader};
      bool is_allowed = true;
      double loss = 0;
      for (int32_t layer = first; layer < first + count; ++layer) {
        const Loss& own = losses.Of(group, layer);
        is_allowed &= own.mean <= rules.max_loss && (!rules.max_worst_loss || own.worst <= *rules.max_worst_loss);
        loss += own.mean;
      }
      if (count > 1 && !is_allowed) continue;
      TryAll(losses, rules, first + count, {groups + 1, scored + (leader < 0 ? count : 1), sum + loss}, best);
    }
  }
}

// Losses are multiples of 1/64, so that sums are exact and ties happen.
LossTable Random(int32_t layer_count, int32_t max_group, std::mt19937& random) {
  std::uniform_int_distribution<int> sixty_fourths(-2, 20);
  LossTable losses = Uniform(layer_count, max_group, 0);
  const auto draw = [&](Loss& loss) {
    loss.mean = sixty_fourths(random) / 64.0;
    loss.worst = loss.mean + (sixty_fourths(random) + 2) / 64.0;
  };
  for (int32_t one = 0; one < layer_count; ++one) {
    for (int32_t other = 0; other < layer_count; ++other) {
      if (one != other && std::abs(one - other) < losses.max_group()) draw(losses.Led(one, other));
    }
    for (int32_t count = 2; count <= losses.max_group() && one + count <= layer_count; ++count) {
      for (int32_t layer = one; layer < one + count; ++layer) draw(losses.Summed(one, count, layer));
    }
  }
  return losses;
}

TEST(ChooseGroupsTest, NothingIsCheaper) {
  std::mt19937 random(4);
  for (int trial = 0; trial < 400; ++trial) {
    const int32_t layer_count = 1 + trial % 7, max_group = 1 + trial / 7 % 5;
    const LossTable losses = Random(layer_count, max_group, random);
    GroupRules rules{.max_loss = (trial % 16) / 64.0, .max_worst_loss = {}, .only = {}};
    if (trial % 3 == 0) rules.max_worst_loss = 0.35;
    if (trial % 5 == 0) rules.only = trial % 2 == 0 ? GroupScore::kSum : GroupScore::kLeader;
    Cost least{1000, 0, 0};
    TryAll(losses, rules, 0, {0, 0, 0}, &least);

    int32_t next = 0, scored = 0;
    double sum = 0;
    const std::vector<ReuseGroup> groups = ChooseGroups(losses, rules);
    for (const ReuseGroup& group : groups) {
      ASSERT_EQ(group.first_layer, next);
      ASSERT_LE(group.layer_count, max_group);
      next += group.layer_count;
      scored += group.leader < 0 ? group.layer_count : 1;
      for (int32_t layer = group.first_layer; layer < next; ++layer) {
        ASSERT_TRUE(group.layer_count == 1 || rules.Allow(losses.Of(group, layer))) << trial;
        sum += losses.Of(group, layer).mean;
      }
    }
    ASSERT_EQ(next, layer_count);
    ASSERT_EQ(Cost(groups.size(), scored, sum), least) << trial;
  }
}

}  // namespace
}  // namespace chunkkv::tune
