// ScoreTask::allows_chunk_means of every implementation: the same chunks, whether or not it uses the permission.
#include "tests/unit/kernels/chunk_means.h"

#include <gtest/gtest.h>

#include "chunkkv/kernels/status.h"
#include "tests/unit/kernels/implementations.h"

namespace chunkkv::testing {
namespace {

class CompactorChunkMeans : public PerImplementation {};
CHUNKKV_FOR_EACH_IMPLEMENTATION(CompactorChunkMeans);

PromptOptions OptionsOf(uint32_t n) {
  constexpr int32_t kHeadSizes[] = {64, 80, 128, 256};
  PromptOptions options;
  options.token_count = 90 + 37 * n;
  options.layer_count = 6;  // so that a GPU may hold one layer's sums
  options.key_head_size = kHeadSizes[n % 4];
  options.dtype = n % 3 == 0 ? DType::kF16 : DType::kBF16;
  options.layout = n % 2 == 0 ? RowLayout::kTokenMajor : RowLayout::kPaged;
  options.has_sink_logits = n % 2 == 1;
  options.softcap = n % 4 == 3 ? 20 : 0;
  return options;
}

TEST_P(CompactorChunkMeans, ChooseWhatTokenScoresChoose) {
  for (uint32_t n = 0; n < 8; ++n) {
    SCOPED_TRACE(n);
    const PromptOptions options = OptionsOf(n);
    const RandomPrompt prompt(options, n);
    CompactionSpec spec;
    spec.policy = Policy::kChunkKv;
    spec.keep_ratio = 0.4;
    spec.window_length = options.window_length;
    spec.reuse_group = 6;
    spec.chunk_reduce = n % 2 == 0 ? ChunkReduce::kSum : ChunkReduce::kMean;
    spec.chunk_length = 7 + 4 * static_cast<int32_t>(n);
    spec.sink_tokens = static_cast<int32_t>(n) % 3;
    const auto plan = MakePlan(spec, prompt.shape());
    ASSERT_TRUE(plan.ok()) << plan.status();
    ExpectAgreesByChunks(*plan, prompt, Compact(compactor(), *plan, AllowChunkMeans(prompt.layers())));
  }
}

TEST_P(CompactorChunkMeans, AreRefusedWhereSingleTokensDecide) {
  const RandomPrompt prompt(OptionsOf(0), 1);
  for (const bool pools : {false, true}) {
    CompactionSpec spec;
    spec.policy = Policy::kChunkKv;
    spec.keep_ratio = 0.4;
    spec.window_length = 8;
    if (pools) {
      spec.pool = 3;
    } else {
      spec.chunk_reduce = ChunkReduce::kMax;
    }
    const auto plan = MakePlan(spec, prompt.shape());
    ASSERT_TRUE(plan.ok()) << plan.status();
    const CompactionOutcome outcome = Compact(compactor(), *plan, AllowChunkMeans(prompt.layers()));
    EXPECT_EQ(StatusReason(outcome.status), "BAD_TASK") << outcome.status;
  }
}

}  // namespace
}  // namespace chunkkv::testing
