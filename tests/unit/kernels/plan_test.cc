#include "chunkkv/kernels/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "chunkkv/kernels/compactor.h"
#include "chunkkv/kernels/limits.h"
#include "chunkkv/kernels/policy.h"
#include "chunkkv/kernels/status.h"

namespace chunkkv {
namespace {

using ::testing::ElementsAre;

CompactionShape Shape(int64_t token_count, int32_t layer_count = 1) {
  AttentionShape layer;
  layer.query_head_count = 4;
  layer.kv_head_count = 2;
  layer.key_head_size = 16;
  layer.value_head_size = 16;
  CompactionShape shape;
  shape.token_count = token_count;
  shape.layers.assign(layer_count, layer);
  shape.source = ScoreSource::kQueryWindow;
  return shape;
}

CompactionSpec Ratio(double keep_ratio) {
  CompactionSpec spec;
  spec.policy = Policy::kChunkKv;
  spec.keep_ratio = keep_ratio;
  return spec;
}

CompactionSpec Tokens(int64_t max_tokens) {
  CompactionSpec spec;
  spec.policy = Policy::kChunkKv;
  spec.max_tokens = max_tokens;
  return spec;
}

Plan MustPlan(const CompactionSpec& spec, const CompactionShape& shape) {
  auto plan = MakePlan(spec, shape);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? *std::move(plan) : Plan();
}

TEST(PlanTest, TakesDefaultsWhenUnset) {
  const Plan plan = MustPlan(Ratio(0.5), Shape(1000));
  EXPECT_EQ(plan.chunk_length, 10);
  EXPECT_EQ(plan.window_length, 32);
  EXPECT_EQ(plan.past_length, 968);
  EXPECT_EQ(plan.sink_tokens, 0);
  EXPECT_EQ(plan.pool, 1);
  EXPECT_EQ(plan.recent_ratio, 0.5);
  EXPECT_EQ(plan.chunk_reduce, ChunkReduce::kSum);
  EXPECT_EQ(plan.on_low_mass, OnLowMass::kFail);
  EXPECT_EQ(plan.max_raised_tokens, 1000);
  EXPECT_EQ(plan.layers[0].scale, 0.25);
  CompactionSpec spec = Ratio(0.5);
  spec.chunk_starts = {0, 7};
  EXPECT_EQ(MustPlan(spec, Shape(1000)).chunk_reduce, ChunkReduce::kMax);
  spec.chunk_reduce = ChunkReduce::kSum;
  EXPECT_EQ(MustPlan(spec, Shape(1000)).chunk_reduce, ChunkReduce::kSum);
  spec = Ratio(0.5);
  spec.policy = Policy::kSnapKv;
  EXPECT_EQ(MustPlan(spec, Shape(1000)).pool, 5);
  spec.policy = Policy::kStreamingLlm;
  EXPECT_EQ(MustPlan(spec, Shape(1000)).sink_tokens, 4);
}

TEST(PlanTest, RoundsARatioHalfUpInDouble) {
  CompactionSpec spec = Ratio(0.35);
  spec.window_length = 4;
  EXPECT_EQ(MustPlan(spec, Shape(30)).budget, 11);
  spec.keep_ratio = 0.1;
  EXPECT_EQ(MustPlan(spec, Shape(4101)).budget, 410);
}

TEST(PlanTest, SaysWhatChangedTheBudget) {
  CompactionSpec spec = Ratio(0.1);
  spec.sink_tokens = 3;
  Plan plan = MustPlan(spec, Shape(100));
  EXPECT_EQ(plan.budget, 35);
  EXPECT_TRUE(plan.budget_change.raised_to_window);
  EXPECT_FALSE(plan.budget_change.rounded_to_multiple);

  spec.budget_multiple = 16;
  plan = MustPlan(spec, Shape(100));
  EXPECT_EQ(plan.budget, 48);
  EXPECT_TRUE(plan.budget_change.rounded_to_multiple);

  spec.keep_ratio = 0.99;
  plan = MustPlan(spec, Shape(100));
  EXPECT_EQ(plan.budget, 100);
  EXPECT_TRUE(plan.budget_change.everything_kept);

  spec = Tokens(47);
  spec.budget_multiple = 40;
  EXPECT_EQ(MustPlan(spec, Shape(100)).budget, 40);
  spec.max_tokens = 39;
  EXPECT_EQ(MustPlan(spec, Shape(100)).budget, 32) << "not below the window";
}

TEST(PlanTest, KeepsEverythingOfShortPromptsEvenWithoutScores) {
  CompactionShape shape = Shape(32);
  shape.source = ScoreSource::kNone;
  const Plan plan = MustPlan(Tokens(1), shape);
  EXPECT_EQ(plan.budget, 32);
  EXPECT_TRUE(plan.KeepsEverything());
  EXPECT_FALSE(plan.IsScored(0));
  EXPECT_EQ(plan.past_length, 0);
  EXPECT_EQ(StatusReason(MakePlan(Tokens(32),
                                  [] {
                                    CompactionShape longer = Shape(33);
                                    longer.source = ScoreSource::kNone;
                                    return longer;
                                  }())
                             .status()),
            "SCORES_MISSING");
}

TEST(PlanTest, NamesThePoliciesThatChooseByScores) {
  for (const Policy policy : {Policy::kChunkKv, Policy::kSnapKv, Policy::kH2o}) EXPECT_TRUE(ChoosesByScores(policy));
  for (const Policy policy : {Policy::kFull, Policy::kStreamingLlm, Policy::kExternal}) {
    EXPECT_FALSE(ChoosesByScores(policy));
  }
}

TEST(PlanTest, NeedsNoScoresForPoliciesWithoutThem) {
  for (const Policy policy : {Policy::kFull, Policy::kExternal, Policy::kStreamingLlm}) {
    CompactionSpec spec;
    spec.policy = policy;
    if (policy == Policy::kStreamingLlm) spec.keep_ratio = 0.5;
    CompactionShape shape = Shape(100, 2);
    shape.source = ScoreSource::kNone;
    shape.layers[0].dtype = DType::kF8E4M3;
    const Plan plan = MustPlan(spec, shape);
    EXPECT_FALSE(plan.NeedsScores());
    EXPECT_FALSE(plan.IsScored(0));
    EXPECT_THAT(plan.groups, ElementsAre(ReuseGroup{0, 1, -1}, ReuseGroup{1, 1, -1}));
  }
}

TEST(PlanTest, LeavesTheBudgetOfExternalToItsLists) {
  CompactionSpec spec;
  spec.policy = Policy::kExternal;
  EXPECT_EQ(MustPlan(spec, Shape(100)).budget, 0);
  EXPECT_FALSE(MustPlan(spec, Shape(100)).KeepsEverything());
}

TEST(PlanTest, GroupsRunsOfLayersWithTheLastShort) {
  CompactionSpec spec = Ratio(0.5);
  spec.reuse_group = 2;
  Plan plan = MustPlan(spec, Shape(100, 5));
  EXPECT_THAT(plan.groups, ElementsAre(ReuseGroup{0, 2, 0}, ReuseGroup{2, 2, 2}, ReuseGroup{4, 1, 4}));
  EXPECT_TRUE(plan.IsScored(2));
  EXPECT_FALSE(plan.IsScored(3));
  EXPECT_EQ(plan.GroupOf(3), 1);
  EXPECT_EQ(plan.GroupOf(4), 2);
  spec.group_score = GroupScore::kSum;
  spec.reuse_group = 8;
  plan = MustPlan(spec, Shape(100, 5));
  EXPECT_THAT(plan.groups, ElementsAre(ReuseGroup{0, 5, -1}));
  EXPECT_TRUE(plan.IsScored(3));
  EXPECT_FALSE(plan.IsScored(5));
}

TEST(PlanTest, TakesExplicitGroupsAsGiven) {
  CompactionSpec spec = Ratio(0.5);
  spec.groups = {{0, 3, 1}, {3, 2, -1}};
  Plan plan = MustPlan(spec, Shape(100, 5));
  EXPECT_FALSE(plan.IsScored(0));
  EXPECT_TRUE(plan.IsScored(1));
  EXPECT_TRUE(plan.IsScored(3));
  EXPECT_TRUE(plan.IsScored(4));
  spec.group_score = GroupScore::kLeader;
  plan = MustPlan(spec, Shape(100, 5));
  EXPECT_EQ(plan.groups[1].leader, 3) << "the first leads by default";
}

TEST(PlanTest, DropsGivenChunksThatBeginInTheWindow) {
  CompactionSpec spec = Ratio(0.5);
  spec.chunk_starts = {0, 40, 68, 90};
  EXPECT_THAT(MustPlan(spec, Shape(100)).chunk_starts, ElementsAre(0, 40));
}

TEST(PlanTest, RaisesBudgetsByDoubling) {
  CompactionSpec spec = Tokens(40);
  Plan plan = MustPlan(spec, Shape(200));
  EXPECT_EQ(RaisedBudget(plan, 40), 80);
  EXPECT_EQ(RaisedBudget(plan, 160), 200);
  EXPECT_EQ(RaisedBudget(plan, 200), 200);
  plan.max_raised_tokens = 90;
  EXPECT_EQ(RaisedBudget(plan, 80), 90);
  EXPECT_EQ(RaisedBudget(plan, 90), 90);
  plan.budget_multiple = 16;
  EXPECT_EQ(RaisedBudget(plan, 48), 80) << "at most 90, on the multiple";
  EXPECT_EQ(RaisedBudget(plan, 80), 80);
  EXPECT_EQ(RaisedBudget(plan, 36), 80) << "window and sinks are not on the multiple; what is doubled is";
  plan.max_raised_tokens = 47;
  EXPECT_EQ(RaisedBudget(plan, 36), 36) << "never lowered";
}

TEST(PlanTest, RefusesWhatIsWrongByName) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  struct Row {
    const char* reason;
    std::function<void(CompactionSpec&, CompactionShape&)> spoil;
  };
#define SPOIL(statement) \
  [=]([[maybe_unused]] CompactionSpec& spec, [[maybe_unused]] CompactionShape& shape) { statement; }
  const Row rows[] = {
      {"", SPOIL({})},
      {"BAD_TOKEN_COUNT", SPOIL(shape.token_count = 0)},
      {"BAD_TOKEN_COUNT", SPOIL(shape.token_count = -1)},
      {"BAD_TOKEN_COUNT", SPOIL(shape.token_count = kMaxTokenCount + 1)},
      {"BAD_TOKEN_COUNT", SPOIL(shape.token_count = INT32_MAX)},
      {"", SPOIL(shape.token_count = kMaxTokenCount)},
      {"BAD_LAYER_COUNT", SPOIL(shape.layers.clear())},
      {"BAD_LAYER_COUNT", SPOIL(shape.layers.resize(kMaxLayerCount + 1, shape.layers[0]))},
      {"BAD_HEAD_COUNT", SPOIL(shape.layers[1].query_head_count = 5)},
      {"BAD_HEAD_COUNT", SPOIL(shape.layers[1].query_head_count = 0)},
      {"BAD_HEAD_COUNT", SPOIL(shape.layers[1].kv_head_count = 0)},
      {"BAD_HEAD_COUNT", SPOIL(shape.layers[1].kv_head_count = kMaxHeadCount + 1)},
      {"BAD_HEAD_SIZE", SPOIL(shape.layers[0].key_head_size = 0)},
      {"BAD_HEAD_SIZE", SPOIL(shape.layers[0].key_head_size = INT32_MAX)},
      {"BAD_HEAD_SIZE", SPOIL(shape.layers[0].value_head_size = -1)},
      {"", SPOIL(shape.layers[0].value_head_size = 0)},
      {"BAD_DTYPE", SPOIL(shape.layers[0].dtype = DType(0))},
      {"BAD_SCALE", SPOIL(shape.layers[0].scale = nan)},
      {"BAD_SCALE", SPOIL(shape.layers[0].scale = -1)},
      {"BAD_SCALE", SPOIL(shape.layers[0].scale = 1e39)},
      {"BAD_SCALE", SPOIL(shape.layers[0].scale = 1e-46)},
      {"", SPOIL(shape.layers[0].scale = std::numeric_limits<float>::max())},
      {"BAD_SOFTCAP", SPOIL(shape.layers[0].softcap = -1)},
      {"BAD_SOFTCAP", SPOIL(shape.layers[0].softcap = nan)},
      {"BAD_SOFTCAP", SPOIL(shape.layers[0].softcap = 1e39)},
      {"BAD_SOFTCAP", SPOIL(shape.layers[0].softcap = 1e-46)},
      {"", SPOIL(shape.layers[0].softcap = std::numeric_limits<float>::denorm_min())},
      {"BAD_SINK_LOGITS", SPOIL(shape.layers[0].sink_logits.resize(3))},
      {"BAD_SINK_LOGITS", SPOIL(shape.layers[0].sink_logits.resize(4, static_cast<float>(nan)))},
      {"BAD_SCORE_SOURCE", SPOIL(shape.source = ScoreSource(9))},
      {"BAD_SCORE_SOURCE", SPOIL(shape.source = ScoreSource::kAttention; shape.has_lse = true)},
      {"SCORES_MISSING", SPOIL(shape.source = ScoreSource::kNone)},
      {"SCORING_FP8", SPOIL(shape.layers[1].dtype = DType::kF8E4M3)},
      {"", SPOIL(shape.layers[1].dtype = DType::kF8E4M3; spec.reuse_group = 2)},
      {"", SPOIL(shape.layers[1].dtype = DType::kF8E5M2; shape.source = ScoreSource::kTokenScores)},
      {"", SPOIL(shape.layers[1].dtype = DType::kF8E4M3; shape.token_count = 32)},
      {"", SPOIL(shape.layers[1].dtype = DType::kF8E4M3; spec.keep_ratio = 1.0)},
      {"", SPOIL(shape.layers[1].dtype = DType::kF8E4M3; spec.keep_ratio.reset(); spec.max_tokens = 100)},
      {"SCORING_FP8", SPOIL(shape.layers[1].dtype = DType::kF8E4M3; spec.keep_ratio.reset(); spec.max_tokens = 99)},
      {"BAD_POLICY", SPOIL(spec.policy = Policy(0))},
      {"BAD_KEEP_RATIO", SPOIL(spec.keep_ratio = 0)},
      {"BAD_KEEP_RATIO", SPOIL(spec.keep_ratio = 1.0001)},
      {"BAD_KEEP_RATIO", SPOIL(spec.keep_ratio = nan)},
      {"BUDGET_MISSING", SPOIL(spec.keep_ratio.reset())},
      {"BUDGET_AMBIGUOUS", SPOIL(spec.max_tokens = 50)},
      {"BUDGET_NOT_ALLOWED", SPOIL(spec.policy = Policy::kFull)},
      {"BUDGET_NOT_ALLOWED", SPOIL(spec.policy = Policy::kExternal)},
      {"BAD_MAX_TOKENS", SPOIL(spec.keep_ratio.reset(); spec.max_tokens = 0)},
      {"BAD_MAX_TOKENS", SPOIL(spec.keep_ratio.reset(); spec.max_tokens = INT64_MIN)},
      {"", SPOIL(spec.keep_ratio.reset(); spec.max_tokens = INT64_MAX)},
      {"BUDGET_BELOW_WINDOW", SPOIL(spec.keep_ratio.reset(); spec.max_tokens = 31)},
      {"BUDGET_BELOW_WINDOW", SPOIL(spec.keep_ratio.reset(); spec.max_tokens = 35; spec.sink_tokens = 4)},
      {"BAD_CHUNK_LENGTH", SPOIL(spec.chunk_length = 0)},
      {"BAD_CHUNK_LENGTH", SPOIL(spec.chunk_length = 4097)},
      {"", SPOIL(spec.chunk_length = 4096)},
      {"BAD_WINDOW_LENGTH", SPOIL(spec.window_length = 0)},
      {"BAD_WINDOW_LENGTH", SPOIL(spec.window_length = 4097)},
      {"", SPOIL(spec.window_length = 4096)},
      {"BAD_REUSE_GROUP", SPOIL(spec.reuse_group = 0)},
      {"", SPOIL(spec.reuse_group = INT32_MAX)},
      {"BAD_SINK_TOKENS", SPOIL(spec.sink_tokens = -1)},
      {"", SPOIL(spec.sink_tokens = INT32_MAX)},
      {"BAD_POOL", SPOIL(spec.pool = 0)},
      {"BAD_POOL", SPOIL(spec.pool = 4)},
      {"BAD_POOL", SPOIL(spec.pool = -3)},
      {"BAD_POOL", SPOIL(spec.pool = 4097)},
      {"BAD_RECENT_RATIO", SPOIL(spec.recent_ratio = -0.1)},
      {"BAD_RECENT_RATIO", SPOIL(spec.recent_ratio = nan)},
      {"BAD_BUDGET_MULTIPLE", SPOIL(spec.budget_multiple = 0)},
      {"BAD_BUDGET_MULTIPLE", SPOIL(spec.budget_multiple = INT32_MAX)},
      {"BAD_MIN_RETAINED_MASS", SPOIL(spec.min_retained_mass = 1.1)},
      {"BAD_MIN_RETAINED_MASS", SPOIL(spec.min_retained_mass = nan)},
      {"BAD_MAX_RAISED_TOKENS", SPOIL(spec.max_raised_tokens = 0)},
      {"BAD_ON_LOW_MASS", SPOIL(spec.on_low_mass = OnLowMass(4))},
      {"BAD_CHUNK_REDUCE", SPOIL(spec.chunk_reduce = ChunkReduce(0))},
      {"BAD_GROUP_SCORE", SPOIL(spec.group_score = GroupScore(7))},
      {"MASS_WITHOUT_SCORES", SPOIL(spec.policy = Policy::kStreamingLlm; spec.min_retained_mass = 0.5)},
      {"GUARDRAIL_SHARDED", SPOIL(shape.is_sharded = true; spec.on_low_mass = OnLowMass::kRaiseBudget)},
      {"GUARDRAIL_SHARDED", SPOIL(shape.is_sharded = true; spec.on_low_mass = OnLowMass::kKeepFull)},
      {"", SPOIL(shape.is_sharded = true; spec.on_low_mass = OnLowMass::kFail)},
      {"BAD_CHUNK_STARTS", SPOIL(spec.chunk_starts = {1})},
      {"BAD_CHUNK_STARTS", SPOIL(spec.chunk_starts = {-1})},
      {"BAD_CHUNK_STARTS", SPOIL(spec.chunk_starts = (std::vector<int32_t>{0, 5, 5}))},
      {"BAD_CHUNK_STARTS", SPOIL(spec.chunk_starts = (std::vector<int32_t>{0, 7, 6}))},
      {"BAD_CHUNK_STARTS", SPOIL(spec.chunk_starts = (std::vector<int32_t>{0, 100}))},
      {"BAD_CHUNK_STARTS", SPOIL(spec.chunk_starts = {0}; spec.sink_tokens = 2)},
      {"BAD_CHUNK_STARTS", SPOIL(spec.policy = Policy::kH2o; spec.chunk_starts = (std::vector<int32_t>{3, 2}))},
      {"BAD_GROUPS", SPOIL(spec.groups = (std::vector<ReuseGroup>{{0, 1, 0}}))},
      {"BAD_GROUPS", SPOIL(spec.groups = (std::vector<ReuseGroup>{{1, 1, 1}, {0, 1, 0}}))},
      {"BAD_GROUPS", SPOIL(spec.groups = (std::vector<ReuseGroup>{{0, 0, -1}, {0, 2, 0}}))},
      {"BAD_GROUPS", SPOIL(spec.groups = (std::vector<ReuseGroup>{{0, INT32_MAX, 0}, {INT32_MAX, INT32_MAX, -1}}))},
      {"BAD_LEADER", SPOIL(spec.groups = (std::vector<ReuseGroup>{{0, 1, 1}, {1, 1, 1}}))},
      {"BAD_LEADER", SPOIL(spec.groups = (std::vector<ReuseGroup>{{0, 2, -2}}))},
      {"BAD_LEADER", SPOIL(spec.groups = (std::vector<ReuseGroup>{{0, 2, 1}}); spec.group_score = GroupScore::kSum)},
  };
#undef SPOIL
  for (size_t i = 0; i < std::size(rows); ++i) {
    CompactionSpec spec = Ratio(0.5);
    CompactionShape shape = Shape(100, 2);
    rows[i].spoil(spec, shape);
    const auto plan = MakePlan(spec, shape);
    EXPECT_EQ(StatusReason(plan.status()), rows[i].reason) << "row " << i << ": " << plan.status();
    const absl::StatusCode code = *rows[i].reason == '\0'                        ? absl::StatusCode::kOk
                                  : std::string(rows[i].reason) == "SCORING_FP8" ? absl::StatusCode::kUnimplemented
                                                                                 : absl::StatusCode::kInvalidArgument;
    EXPECT_EQ(plan.status().code(), code);
  }
}

TEST(SpecNamesTest, ComeBackAsTheyWent) {
  for (int value = 1; value <= 6; ++value) EXPECT_EQ(PolicyFromName(PolicyName(Policy(value))), Policy(value));
  for (int value = 0; value <= 3; ++value) {
    EXPECT_EQ(ScoreSourceFromName(ScoreSourceName(ScoreSource(value))), ScoreSource(value));
  }
  for (int value = 1; value <= 3; ++value) {
    EXPECT_EQ(ChunkReduceFromName(ChunkReduceName(ChunkReduce(value))), ChunkReduce(value));
    EXPECT_EQ(OnLowMassFromName(OnLowMassName(OnLowMass(value))), OnLowMass(value));
  }
  for (int value = 1; value <= 2; ++value) {
    EXPECT_EQ(GroupScoreFromName(GroupScoreName(GroupScore(value))), GroupScore(value));
    EXPECT_EQ(PositionModeFromName(PositionModeName(PositionMode(value))), PositionMode(value));
  }
  for (int value = 1; value <= 5; ++value) EXPECT_EQ(DTypeFromName(DTypeName(DType(value))), DType(value));
  EXPECT_EQ(PolicyFromName("h3o"), std::nullopt);
  EXPECT_EQ(PolicyFromName(""), std::nullopt);
  EXPECT_EQ(DTypeFromName("I32"), std::nullopt);
}

TEST(StatusTest, CarriesItsReason) {
  const absl::Status status = FailedPrecondition("LOW_RETAINED_MASS", "layer 3");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(StatusReason(status), "LOW_RETAINED_MASS");
  EXPECT_EQ(StatusReason(absl::OkStatus()), "");
  EXPECT_EQ(StatusReason(absl::InternalError("x")), "");
}

TEST(AdjacentJaccardTest, ComparesThePastWithoutSinks) {
  const std::vector<int32_t> a = {0, 1, 5, 6, 9, 10}, b = {0, 1, 6, 7, 9, 10}, none = {0, 1, 9, 10};
  const std::vector<absl::Span<const int32_t>> groups = {a, b, none, none};
  EXPECT_THAT(AdjacentJaccard(groups, 2, 9), ElementsAre(1.0 / 3, 0.0, 1.0));
  EXPECT_TRUE(AdjacentJaccard({}, 0, 9).empty());
}

}  // namespace
}  // namespace chunkkv
