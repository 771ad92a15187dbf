// What a batch costs in memory: a small share of a long prompt's KV, and no allocation while it runs.
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/kernels/allocation_count.h"
#include "tests/unit/kernels/implementations.h"
#include "tests/unit/kernels/random_prompt.h"
#include "tests/unit/kernels/row_memory.h"

namespace chunkkv::testing {
namespace {

class WorkspaceTest : public PerImplementation {};
CHUNKKV_FOR_EACH_HOST_IMPLEMENTATION(WorkspaceTest);

TEST_P(WorkspaceTest, NothingIsAllocatedWhileABatchRuns) {
  for (const ScoreSource source : {ScoreSource::kQueryWindow, ScoreSource::kAttention, ScoreSource::kTokenScores}) {
    PromptOptions options;
    options.token_count = 1100;
    options.source = source;
    options.layout = source == ScoreSource::kAttention ? RowLayout::kHeadMajor : RowLayout::kPagedHeadMajor;
    const RandomPrompt prompt(options, 1);
    CompactionSpec spec;
    spec.policy = Policy::kChunkKv;
    spec.keep_ratio = 0.5;
    spec.window_length = 8;
    spec.pool = 3;
    const Plan plan = MakePlan(spec, prompt.shape()).value();
    const LayerInput& input = prompt.layers()[0];
    std::vector<float> scores(plan.past_length);
    std::vector<int32_t> positions(plan.budget);
    std::vector<std::byte> rows(plan.budget * 2 * 8 * sizeof(float));
    const float* list = scores.data();
    const RopeShape rope = {0, 8, false, {1, 0.5, 0.25, 0.125}};
    double mass = 0;
    const ScoreTask score{0, input.keys, input.queries, nullptr, input.attention, input.token_scores, scores.data()};
    const SelectTask select{0, plan.budget, absl::MakeConstSpan(&list, 1), positions.data(), &mass};
    const GatherTask gather{input.keys, positions, rows.data()};
    const RotateTask rotate{TokenMajorRows(rows.data(), DType::kF32, plan.budget, 2, 8), positions, &rope, rows.data()};
    std::mt19937 random(1);
    RowMemory cache({DType::kF32, plan.token_count, 2, 8}, RowLayout::kPaged, random);
    const ScatterTask scatter{rows.data(), positions, cache.MutableRows()};
    std::vector<uint64_t> digests(rows.size() / kDigestBlockBytes + 1);
    const DigestTask digest{rows.data(), static_cast<int64_t>(rows.size()), {}, digests.data()};
    const Batch batch{absl::MakeConstSpan(&score, 1),   absl::MakeConstSpan(&select, 1),
                      absl::MakeConstSpan(&gather, 1),  absl::MakeConstSpan(&rotate, 1),
                      absl::MakeConstSpan(&scatter, 1), absl::MakeConstSpan(&digest, 1)};
    GuardedWorkspace workspace(compactor(), plan, batch);
    ExecutionContext context;
    context.run_parallel = [](size_t count, const std::function<void(size_t)>& body) {
      for (size_t i = 0; i < count; ++i) body(i);
    };
    AllocationCount counting;
    const absl::Status enqueued = compactor().Enqueue(plan, batch, workspace.Span(), context);
    const absl::Status waited = compactor().Wait(context);
    const int allocation_count = counting.Stop();
    EXPECT_TRUE(enqueued.ok() && waited.ok()) << enqueued << waited;
    EXPECT_EQ(allocation_count, 0) << ScoreSourceName(source);
  }
}

TEST(CpuWorkspaceTest, IsAHundredthOfALongPromptsKvAtMost) {
  const auto compactor = MakeCpuCompactor();
  AttentionShape layer;
  layer.query_head_count = 32;
  layer.kv_head_count = 8;
  layer.key_head_size = layer.value_head_size = 128;
  layer.dtype = DType::kBF16;
  for (const int64_t tokens : {8192, 32768, 131072, 1048576}) {
    CompactionShape shape;
    shape.token_count = tokens;
    shape.layers.assign(32, layer);
    shape.source = ScoreSource::kQueryWindow;
    CompactionSpec spec;
    spec.policy = Policy::kChunkKv;
    spec.keep_ratio = 0.1;
    const Plan plan = MakePlan(spec, shape).value();
    std::vector<ScoreTask> score(32);
    std::vector<SelectTask> select(32);
    for (int32_t i = 0; i < 32; ++i) {
      score[i].layer = i;
      select[i].group = i;
      select[i].budget = plan.budget;
    }
    Batch batch;
    batch.score = score;
    batch.select = select;
    const double kv_bytes = 32.0 * static_cast<double>(tokens) * 8 * 256 * 2;
    EXPECT_LE(static_cast<double>(compactor->WorkspaceBytes(plan, batch)), 0.01 * kv_bytes) << tokens;
  }
}

}  // namespace
}  // namespace chunkkv::testing
