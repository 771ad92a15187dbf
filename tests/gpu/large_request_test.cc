// Requests of a real model's size, other ones each run, against the CPU.
#include <gtest/gtest.h>

#include <thread>

#include "chunkkv/kernels/cuda.h"
#include "tests/gpu/device_request.h"
#include "tests/gpu/draw.h"
#include "tests/gpu/large_prompt.h"
#include "tests/unit/kernels/agreement.h"

namespace chunkkv::testing {
namespace {

constexpr RowLayout kLayouts[] = {RowLayout::kTokenMajor, RowLayout::kHeadMajor, RowLayout::kPaged,
                                  RowLayout::kPagedHeadMajor};
constexpr DType kDtypes[] = {DType::kF16, DType::kBF16};
constexpr int32_t kBlockTokenCounts[] = {16, 32, 64};
constexpr ScoreSource kSources[] = {ScoreSource::kQueryWindow, ScoreSource::kQueryWindow, ScoreSource::kQueryWindow,
                                    ScoreSource::kAttention, ScoreSource::kTokenScores};

CompactionSpec DrawSpec(const LargeOptions& options, Draw& draw) {
  CompactionSpec spec;
  spec.policy = Policy(draw.Between(1, 5));
  if (spec.policy != Policy::kFull) spec.keep_ratio = draw.Between(5, 90) / 100.0;
  spec.window_length = options.window_length;
  spec.chunk_length = draw.Between(1, 40);
  spec.chunk_reduce = ChunkReduce(draw.Between(1, 3));
  spec.group_score = GroupScore(draw.Between(1, 2));
  spec.reuse_group = draw.Between(1, 3);
  spec.sink_tokens = draw.Between(0, 8);
  spec.pool = 2 * draw.Between(0, 4) + 1;
  spec.budget_multiple = draw.Between(1, 16);
  if (draw.Between(0, 3) == 0) {
    for (int32_t at = *spec.sink_tokens; at < options.token_count; at += draw.Between(1, 200)) {
      spec.chunk_starts.push_back(at);
    }
  }
  return spec;
}

LargeOptions DrawOptions(int32_t about_tokens, Draw& draw) {
  LargeOptions options;
  options.token_count = about_tokens + draw.Between(-70, 70);
  options.layer_count = draw.Between(2, 3);
  options.dtype = draw.OneOf(kDtypes);
  options.layout = draw.OneOf(kLayouts);
  options.block_token_count = draw.OneOf(kBlockTokenCounts);
  options.source = draw.OneOf(kSources);
  options.has_lse = options.source == ScoreSource::kQueryWindow && draw.Coin();
  options.window_length = draw.Between(1, 64);
  return options;
}

void ExpectRandomRequestsAgree(int32_t about_tokens, int count) {
  const auto compactor = MakeCudaCompactor(0).value();
  const auto memory = MakeCudaMemory(0).value();
  const auto cpu = MakeCpuCompactor();
  ExecutionContext on_all_cores;
  on_all_cores.run_parallel = OnThreads(static_cast<int>(std::thread::hardware_concurrency()));
  Draw draw(static_cast<uint32_t>(about_tokens));
  for (int i = 0; i < count && !::testing::Test::HasFailure(); ++i) {
    const LargeOptions options = DrawOptions(about_tokens, draw);
    const CompactionSpec spec = DrawSpec(options, draw);
    SCOPED_TRACE(::testing::Message() << "GPU_TEST_SEED=" << RunSeed() << ", request " << i << ": "
                                      << PolicyName(spec.policy) << ", " << ScoreSourceName(options.source)
                                      << (options.has_lse ? " with LSE, " : ", ") << DTypeName(options.dtype)
                                      << ", layout " << static_cast<int>(options.layout)
                                      << ", L = " << options.token_count << ", w = " << options.window_length);
    const LargePrompt prompt(options, draw);
    const auto plan = MakePlan(spec, prompt.shape());
    ASSERT_TRUE(plan.ok()) << plan.status();
    void* stream = memory->CreateStream().value();
    {
      DeviceMirror inputs(*memory, stream);
      DeviceRequest request(*compactor, *memory, *plan, prompt.OnDevice(inputs, memory->Place()));
      const absl::Status started = request.Start();
      ASSERT_TRUE(started.ok()) << started;
      const auto tolerance = [&](int32_t) { return 2 * prompt.TieTolerance(); };  // of both, which are float32
      ExpectAgrees(*plan, prompt.layers(), tolerance, Compact(*cpu, *plan, prompt.layers(), on_all_cores),
                   request.Finish());
    }
    memory->DestroyStream(stream);
  }
}

TEST(LargeRequestTest, RandomRequestsOf8kTokensAgree) { ExpectRandomRequestsAgree(8192, 10); }

TEST(LargeRequestTest, RandomRequestsOf32kTokensAgree) { ExpectRandomRequestsAgree(32768, 3); }

}  // namespace
}  // namespace chunkkv::testing
