// Choices against the plain reference's, to the last index: scores are small integers, whose sums are exact in any
// order, and which tie often.
#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

#include "kernels/cuda/select_kernel.h"
#include "tests/unit/cuda/agreement.h"

namespace chunkkv::testing {
namespace {

struct Choices {
  std::vector<std::vector<int32_t>> positions;  // per group
  std::vector<std::vector<double>> masses;      // per group and list
};

// A plan for prompts of `token_count` tokens, whose layers give their scores.
Plan PlanOf(const CompactionSpec& spec, int64_t token_count, int32_t layer_count = 1) {
  CompactionShape shape;
  shape.token_count = token_count;
  shape.source = ScoreSource::kTokenScores;
  AttentionShape layer;
  layer.query_head_count = layer.kv_head_count = 1;
  layer.key_head_size = layer.value_head_size = 1;
  shape.layers.assign(layer_count, layer);
  return PlanFor(spec, shape);
}

using ScoreLists = std::vector<std::vector<float>>;

ScoreLists RandomScores(int64_t past_length, size_t list_count, int largest, uint32_t seed) {
  std::mt19937 random(seed);
  ScoreLists lists(list_count);
  for (std::vector<float>& list : lists) {
    for (int64_t token = 0; token < past_length; ++token) list.push_back(static_cast<float>(random() % (largest + 1)));
  }
  return lists;
}

// For the plan's groups with their lists, all in one batch.
Choices Choose(const Compactor& compactor, const Plan& plan, const std::vector<ScoreLists>& groups,
               int32_t max_sm_count = 0) {
  Choices choices;
  std::vector<std::vector<const float*>> lists;
  for (const ScoreLists& group : groups) {
    lists.emplace_back();
    for (const std::vector<float>& list : group) lists.back().push_back(list.data());
    choices.positions.emplace_back(plan.budget, -1);
    choices.masses.emplace_back(group.size(), -1.0);
  }
  std::vector<SelectTask> tasks;
  for (size_t i = 0; i < groups.size(); ++i) {
    tasks.push_back(
        {static_cast<int32_t>(i), plan.budget, lists[i], choices.positions[i].data(), choices.masses[i].data()});
  }
  Batch batch;
  batch.select = tasks;
  uint64_t failure = ~uint64_t{0};
  ExecutionContext context;
  context.failure = &failure;
  context.max_sm_count = max_sm_count;
  const absl::Status status = RunBatch(compactor, plan, batch, context);
  EXPECT_TRUE(status.ok()) << status;
  return choices;
}

void ExpectChoosesAsTheReference(const Plan& plan, const std::vector<ScoreLists>& groups, int32_t max_sm_count = 0) {
  const EmulatedDevice device;
  const Choices choices = Choose(device.compactor(), plan, groups, max_sm_count);
  const Choices expected = Choose(*MakeReferenceCompactor(), plan, groups);
  EXPECT_EQ(choices.positions, expected.positions);
  EXPECT_EQ(choices.masses, expected.masses);
}

TEST(SelectTest, ChunksOfAnyLengthAreChosenExactly) {
  for (const int32_t length : {1, 2, 3, 10, 15, 16, 17, 40, 500}) {
    for (const ChunkReduce reduce : {ChunkReduce::kSum, ChunkReduce::kMean, ChunkReduce::kMax}) {
      for (const double ratio : {0.03, 0.5}) {
        SCOPED_TRACE(::testing::Message() << "chunks of " << length << ", keep " << ratio);
        CompactionSpec spec = KeepByChunks(ratio, 8);
        spec.chunk_length = length;
        spec.chunk_reduce = reduce;
        spec.sink_tokens = 3;
        const Plan plan = PlanOf(spec, 3021);
        ExpectChoosesAsTheReference(plan, {RandomScores(plan.past_length, 1, 3, length)});
      }
    }
  }
}

// Blocks of 256 spans, and warps of 32 at a time: numbers of spans around their multiples.
TEST(SelectTest, AnyNumberOfSpansIsChosenFrom) {
  for (const int64_t spans : {1, 31, 32, 33, 255, 256, 257, 1023, 1024, 1025, 2050}) {
    for (const int64_t last : {1, 4}) {
      SCOPED_TRACE(::testing::Message() << spans << " spans, the last of " << last);
      CompactionSpec spec = KeepByChunks(0.4, 1);
      spec.chunk_length = 4;
      const Plan plan = PlanOf(spec, 4 * (spans - 1) + last + 1);
      ExpectChoosesAsTheReference(plan, {RandomScores(plan.past_length, 1, 1, spans)});
    }
  }
}

TEST(SelectTest, GroupsOfOneListAndOfSeveralShareABatch) {
  CompactionSpec spec = KeepByChunks(0.3, 8);
  spec.group_score = GroupScore::kSum;
  spec.reuse_group = 3;
  spec.chunk_length = 2;
  const Plan plan = PlanOf(spec, 3000, 7);
  const std::vector<ScoreLists> groups = {RandomScores(plan.past_length, 3, 5, 1),
                                          RandomScores(plan.past_length, 3, 5, 2),
                                          RandomScores(plan.past_length, 1, 5, 3)};
  for (const int32_t max_sm_count : {0, 1, 2}) ExpectChoosesAsTheReference(plan, groups, max_sm_count);
}

TEST(SelectTest, GivenChunksMayBeShortAndLongSideBySide) {
  CompactionSpec spec = KeepByChunks(0.3, 8);
  spec.group_score = GroupScore::kSum;
  spec.reuse_group = 2;
  spec.chunk_starts = {0};
  std::mt19937 random(1);
  while (spec.chunk_starts.back() < 5000) {
    spec.chunk_starts.push_back(spec.chunk_starts.back() +
                                (random() % 40 == 0 ? 63 + random() % 200 : 1 + random() % 5));
  }
  for (const ChunkReduce reduce : {ChunkReduce::kSum, ChunkReduce::kMax}) {
    spec.chunk_reduce = reduce;
    const Plan plan = PlanOf(spec, 5200, 2);
    ExpectChoosesAsTheReference(plan, {RandomScores(plan.past_length, 2, 3, 5)});
  }
}

// Keys that do not fit into shared memory.
TEST(SelectTest, ManyTokensAreChosenExactly) {
  CompactionSpec spec;
  spec.policy = Policy::kSnapKv;
  spec.pool = 1;
  spec.keep_ratio = 0.2;
  spec.window_length = 8;
  const Plan plan = PlanOf(spec, cuda::SelectKernel::kMostSharedKeys + 3000);
  ExpectChoosesAsTheReference(plan, {RandomScores(plan.past_length, 1, 50, 6)});
}

}  // namespace
}  // namespace chunkkv::testing
