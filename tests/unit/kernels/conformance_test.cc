// CompactorConformance: what every implementation must do, driven through the Compactor interface alone and compared
// with the plain reference up to near ties.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>

#include "chunkkv/kernels/status.h"
#include "tests/unit/kernels/agreement.h"
#include "tests/unit/kernels/implementations.h"
#include "tests/unit/kernels/random_prompt.h"

namespace chunkkv::testing {
namespace {

class CompactorConformance : public PerImplementation {};
CHUNKKV_FOR_EACH_IMPLEMENTATION(CompactorConformance);

constexpr int32_t kBlockTokenCounts[] = {1, 3, 16};

CompactionSpec Keep(Policy policy, double ratio, int32_t window_length) {
  CompactionSpec spec;
  spec.policy = policy;
  if (policy != Policy::kFull) spec.keep_ratio = ratio;
  spec.window_length = window_length;
  return spec;
}

Plan PlanOf(const CompactionSpec& spec, const RandomPrompt& prompt) {
  auto plan = MakePlan(spec, prompt.shape());
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *std::move(plan);
}

// Compaction by `compactor` against the plain reference: scores, an acceptable choice, its masses, its rows.
void ExpectConforms(const Compactor& compactor, const Plan& plan, const RandomPrompt& prompt) {
  ExpectAgrees(plan, prompt, Compact(*MakeReferenceCompactor(), plan, prompt.layers()),
               Compact(compactor, plan, prompt.layers()));
}

TEST_P(CompactorConformance, AgreesOnPromptLengthsThatHurt) {
  for (const int64_t length : {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 47, 48, 49, 97, 479, 480, 481, 1023}) {
    for (const int32_t window : {1, 3, 8, 16}) {
      SCOPED_TRACE(::testing::Message() << "L = " << length << ", w = " << window);
      PromptOptions options;
      options.token_count = length;
      options.window_length = window;
      const RandomPrompt prompt(options, static_cast<uint32_t>(length));
      ExpectConforms(compactor(), PlanOf(Keep(Policy::kChunkKv, 0.4, window), prompt), prompt);
    }
  }
}

TEST_P(CompactorConformance, AgreesOnPagedPromptsOfLengthsThatHurt) {
  for (const int64_t length : {1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 47, 48, 49, 479, 480, 481, 1023}) {
    for (const int32_t block_token_count : kBlockTokenCounts) {
      SCOPED_TRACE(::testing::Message() << "L = " << length << ", blocks of " << block_token_count);
      PromptOptions options;
      options.token_count = length;
      options.layout = length % 2 == 0 ? RowLayout::kPaged : RowLayout::kPagedHeadMajor;
      options.block_token_count = block_token_count;
      options.has_lse = block_token_count == 3;
      const RandomPrompt prompt(options, static_cast<uint32_t>(length));
      ExpectConforms(compactor(), PlanOf(Keep(Policy::kChunkKv, 0.4, 8), prompt), prompt);
    }
  }
}

TEST_P(CompactorConformance, AgreesOnEveryPolicySourceAndDtype) {
  for (const Policy policy : {Policy::kFull, Policy::kChunkKv, Policy::kSnapKv, Policy::kH2o, Policy::kStreamingLlm}) {
    for (const ScoreSource source : {ScoreSource::kQueryWindow, ScoreSource::kAttention, ScoreSource::kTokenScores}) {
      for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
        for (const double ratio : {0.01, 0.35, 0.8, 1.0}) {
          SCOPED_TRACE(::testing::Message() << PolicyName(policy) << ' ' << ScoreSourceName(source) << ' '
                                            << DTypeName(dtype) << ' ' << ratio);
          PromptOptions options;
          options.token_count = 61;
          options.source = source;
          options.dtype = dtype;
          const RandomPrompt prompt(options, 7);
          CompactionSpec spec = Keep(policy, ratio, 8);
          spec.chunk_length = 4;
          ExpectConforms(compactor(), PlanOf(spec, prompt), prompt);
        }
      }
    }
  }
}

TEST_P(CompactorConformance, AgreesOnEveryLayoutAndHeadShape) {
  uint32_t seed = 0;
  for (const RowLayout layout : kRowLayouts) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      for (const int32_t heads_per_kv : {1, 2, 3, 5, 7, 8}) {
        for (const auto& [key_size, value_size] : {std::pair{1, 0}, {7, 3}, {16, 33}, {65, 16}}) {
          SCOPED_TRACE(::testing::Message()
                       << "G = " << heads_per_kv << ", D = " << key_size << ", Dv = " << value_size);
          PromptOptions options;
          options.token_count = 53;
          options.layout = layout;
          options.block_token_count = kBlockTokenCounts[seed / 4 % 3];
          options.dtype = dtype;
          options.heads_per_kv = heads_per_kv;
          options.key_head_size = key_size;
          options.value_head_size = value_size;
          options.kv_head_count = 1 + static_cast<int32_t>(seed % 3);
          options.has_lse = seed % 2 == 1;
          options.window_length = 5;
          const RandomPrompt prompt(options, ++seed);
          ExpectConforms(compactor(), PlanOf(Keep(Policy::kChunkKv, 0.5, 5), prompt), prompt);
        }
      }
    }
  }
}

TEST_P(CompactorConformance, AgreesOnFp8KeysWithScales) {
  uint32_t seed = 0;
  for (const DType dtype : {DType::kF8E4M3, DType::kF8E5M2}) {
    for (const DType query_dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      for (const RowLayout layout : kRowLayouts) {
        for (const int32_t head_size : {7, 16, 136}) {
          SCOPED_TRACE(::testing::Message() << DTypeName(dtype) << ", queries " << DTypeName(query_dtype) << ", layout "
                                            << static_cast<int>(layout) << ", D = " << head_size);
          PromptOptions options;
          options.token_count = 70;
          options.dtype = dtype;
          options.query_dtype = query_dtype;
          options.has_key_scales = true;
          options.layout = layout;
          options.key_head_size = head_size;
          options.has_lse = seed % 2 == 1;
          options.softcap = seed % 3 == 0 ? 20.0 : 0.0;
          const RandomPrompt prompt(options, ++seed);
          ExpectConforms(compactor(), PlanOf(Keep(Policy::kChunkKv, 0.4, 8), prompt), prompt);
        }
      }
    }
  }
}

TEST_P(CompactorConformance, OneScaleMayServeATensor) {
  PromptOptions options;
  options.dtype = DType::kF8E4M3;
  options.has_key_scales = true;
  const RandomPrompt prompt(options, 3);
  std::vector<LayerInput> layers = prompt.layers();
  const float scale = 0.125f;
  layers[0].key_scales = TokenMajorRows(&scale, DType::kF32, options.token_count, options.kv_head_count, 1);
  layers[0].key_scales.token_stride_bytes = layers[0].key_scales.head_stride_bytes = 0;
  const std::vector<float> each(options.token_count * options.kv_head_count, scale);
  std::vector<LayerInput> spelt = prompt.layers();
  spelt[0].key_scales = TokenMajorRows(each.data(), DType::kF32, options.token_count, options.kv_head_count, 1);
  const Plan plan = PlanOf(Keep(Policy::kChunkKv, 0.4, 8), prompt);
  const CompactionOutcome outcome = Compact(compactor(), plan, layers);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.token_scores, Compact(compactor(), plan, spelt).token_scores);
}

TEST_P(CompactorConformance, AgreesWhereTheQueriesOfAKvHeadTakeSeveralRuns) {
  for (const bool has_lse : {false, true}) {
    PromptOptions options;
    options.has_lse = has_lse;
    options.token_count = has_lse ? 1100 : 3000;
    options.heads_per_kv = has_lse ? 17 : 8;
    options.kv_head_count = has_lse ? 2 : 1;
    options.window_length = 64;
    options.key_head_size = 4;
    const RandomPrompt prompt(options, 21);
    ExpectConforms(compactor(), PlanOf(Keep(Policy::kChunkKv, 0.2, 64), prompt), prompt);
  }
}

TEST_P(CompactorConformance, AddsUpThousandsOfProbabilitiesWithinTwoMillionths) {
  constexpr int64_t kRows = 64 * 64;  // H = w = 64
  for (const int64_t length : {101, 1130}) {
    CompactionShape shape;
    shape.token_count = length;
    shape.source = ScoreSource::kAttention;
    AttentionShape& layer = shape.layers.emplace_back();
    layer.query_head_count = layer.kv_head_count = 64;
    layer.key_head_size = 1;
    const Plan plan = MakePlan(Keep(Policy::kChunkKv, 0.5, 64), shape).value();
    // Every row is the same, so that every rounding of a running sum may go the same way.
    std::vector<float> row(length);
    for (int64_t j = 0; j < length; ++j) row[j] = 1.0f / static_cast<float>(length + j);
    std::vector<float> attention;
    for (int64_t n = 0; n < kRows; ++n) attention.insert(attention.end(), row.begin(), row.end());
    std::vector<float> scores(plan.past_length);
    ScoreTask task;
    task.attention = {reinterpret_cast<const std::byte*>(attention.data()), DType::kF32, {}};
    task.token_scores = scores.data();
    Batch batch;
    batch.score = absl::MakeConstSpan(&task, 1);
    ExecutionContext context;
    ASSERT_TRUE(RunBatch(compactor(), plan, batch, context).ok());
    for (int64_t j = 0; j < plan.past_length; ++j) {
      const double sum = double{row[j]} * kRows;
      ASSERT_NEAR(scores[j], sum, 2e-6 * sum) << "L = " << length << ", token " << j;
    }
  }
}

TEST_P(CompactorConformance, AgreesWhereAScaledQueryOverflowsAndItsLogitsDoNot) {
  PromptOptions options;
  options.kv_head_count = 1;
  options.key_head_size = 1;
  options.scale = 1e20;
  for (const double softcap : {0.0, 50.0}) {
    options.softcap = softcap;
    RandomPrompt prompt(options, 4);
    for (int64_t i = 0; i < 8 * 2; ++i) prompt.SetQuery(0, i, i % 3 == 0 ? -3e19f : 2e19f);
    for (int64_t j = 0; j < 40; ++j) prompt.SetKey(0, j, 0, 0, 1e-39f * static_cast<float>(j * j % 37));
    ExpectConforms(compactor(), PlanOf(Keep(Policy::kChunkKv, 0.5, 8), prompt), prompt);
  }
}

TEST_P(CompactorConformance, AgreesOnRandomRequests) {
  std::mt19937 random(20240229);
  const auto draw = [&](int32_t least, int32_t most) {
    return std::uniform_int_distribution<int32_t>(least, most)(random);
  };
  for (uint32_t seed = 0; seed < 300; ++seed) {
    PromptOptions options;
    options.token_count = draw(1, 160);
    options.layer_count = draw(1, 5);
    options.kv_head_count = draw(1, 3);
    options.heads_per_kv = draw(1, 8);
    options.key_head_size = draw(1, 20);
    options.value_head_size = draw(0, 20);
    options.dtype = std::array{DType::kF32, DType::kF16, DType::kBF16}[draw(0, 2)];
    options.source = ScoreSource(draw(1, 3));
    options.has_lse = options.source == ScoreSource::kQueryWindow && draw(0, 1) == 1;
    options.layout = kRowLayouts[draw(0, 4)];
    options.block_token_count = kBlockTokenCounts[draw(0, 2)];
    options.window_length = draw(1, 40);
    options.scale = draw(0, 1) * 0.3;
    options.softcap = draw(0, 1) * 5.0;
    options.has_sink_logits = draw(0, 1) == 1;
    options.magnitude = 1.0f + static_cast<float>(draw(0, 2));
    const RandomPrompt prompt(options, seed);
    CompactionSpec spec;
    spec.policy = Policy(draw(1, 5));
    if (spec.policy != Policy::kFull) spec.keep_ratio = draw(1, 100) / 100.0;
    spec.window_length = options.window_length;
    spec.chunk_length = draw(1, 20);
    spec.chunk_reduce = ChunkReduce(draw(1, 3));
    spec.group_score = GroupScore(draw(1, 2));
    spec.reuse_group = draw(1, 6);
    spec.sink_tokens = draw(0, 6);
    spec.pool = 2 * draw(0, 4) + 1;
    spec.recent_ratio = draw(0, 10) / 10.0;
    spec.budget_multiple = draw(1, 8);
    if (draw(0, 2) == 0) {
      for (int32_t at = *spec.sink_tokens; at < options.token_count; at += draw(1, 15)) spec.chunk_starts.push_back(at);
    }
    SCOPED_TRACE(::testing::Message() << "seed " << seed << ", " << PolicyName(spec.policy)
                                      << ", L = " << options.token_count);
    ExpectConforms(compactor(), PlanOf(spec, prompt), prompt);
  }
}

TEST_P(CompactorConformance, GivesTheSameBitsOnAnyThreads) {
  PromptOptions options;
  options.token_count = 3000;
  options.layer_count = 3;
  for (const bool has_lse : {false, true}) {
    options.has_lse = has_lse;
    const RandomPrompt prompt(options, 3);
    const Plan plan = PlanOf(Keep(Policy::kChunkKv, 0.3, 8), prompt);
    const CompactionOutcome alone = Compact(compactor(), plan, prompt.layers());
    for (const int threads : {2, 5}) {
      ExecutionContext context;
      context.run_parallel = OnThreads(threads);
      ExpectSameBits(Compact(compactor(), plan, prompt.layers(), context), alone);
    }
  }
}

TEST_P(CompactorConformance, ChunksOfOneTokenChooseAsSnapKv) {
  PromptOptions options;
  options.token_count = 150;
  const RandomPrompt prompt(options, 5);
  CompactionSpec chunks = Keep(Policy::kChunkKv, 0.37, 8);
  chunks.chunk_length = 1;
  CompactionSpec tokens = Keep(Policy::kSnapKv, 0.37, 8);
  tokens.pool = 1;
  EXPECT_EQ(Compact(compactor(), PlanOf(chunks, prompt), prompt.layers()).positions,
            Compact(compactor(), PlanOf(tokens, prompt), prompt.layers()).positions);
}

TEST_P(CompactorConformance, EqualScoresGoToTheLowerIndex) {
  PromptOptions options;
  options.token_count = 100;
  options.source = ScoreSource::kTokenScores;
  RandomPrompt prompt(options, 1);
  for (int64_t j = 0; j < 92; ++j) prompt.SetTokenScore(0, j, 0.1f);
  for (const Policy policy : {Policy::kChunkKv, Policy::kSnapKv, Policy::kH2o}) {
    CompactionSpec spec = Keep(policy, 0.3, 8);
    spec.pool = 1;
    spec.recent_ratio = 0.0;
    const CompactionOutcome outcome = Compact(compactor(), PlanOf(spec, prompt), prompt.layers());
    std::vector<int32_t> expected(30);
    std::iota(expected.begin(), expected.begin() + 22, 0);
    std::iota(expected.begin() + 22, expected.end(), 92);
    EXPECT_THAT(outcome.positions, ::testing::ElementsAre(expected)) << PolicyName(policy);
    EXPECT_NEAR(outcome.retained_mass.at(0), 22.0 / 92.0, 1e-9);
  }
}

TEST_P(CompactorConformance, OneHugeScoreInTheShortLastChunkWins) {
  PromptOptions options;
  options.token_count = 101;
  options.source = ScoreSource::kTokenScores;
  RandomPrompt prompt(options, 1);
  prompt.SetTokenScore(0, 92, 1e30f);
  CompactionSpec spec = Keep(Policy::kChunkKv, 0, 8);
  spec.keep_ratio.reset();
  spec.max_tokens = 11;  // chunks of 10 up to 90, then [90, 93)
  const CompactionOutcome outcome = Compact(compactor(), PlanOf(spec, prompt), prompt.layers());
  EXPECT_THAT(outcome.positions,
              ::testing::ElementsAre(std::vector<int32_t>{90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100}));
}

TEST_P(CompactorConformance, ChunksGivenOfOneTokenAndOfThousands) {
  PromptOptions options;
  options.token_count = 3500;
  options.source = ScoreSource::kTokenScores;
  const RandomPrompt prompt(options, 11);
  CompactionSpec spec = Keep(Policy::kChunkKv, 0.2, 8);
  spec.chunk_starts = {0, 1, 2, 3, 2900, 2901, 2910, 3495};
  ExpectConforms(compactor(), PlanOf(spec, prompt), prompt);
}

TEST_P(CompactorConformance, AttentionOverKeptRowsIsDenseAttentionWithoutTheOthers) {
  PromptOptions options;
  options.token_count = 120;
  options.key_head_size = 16;
  RandomPrompt prompt(options, 9);
  const CompactionOutcome outcome =
      Compact(compactor(), PlanOf(Keep(Policy::kChunkKv, 0.4, 8), prompt), prompt.layers());
  ASSERT_TRUE(outcome.status.ok());
  const LayerInput& input = prompt.layers()[0];
  const std::vector<int32_t>& positions = outcome.positions[0];
  const RowsView keys = TokenMajorRows(outcome.keys[0].data(), DType::kF32, positions.size(), 2, 16);
  const RowsView values = TokenMajorRows(outcome.values[0].data(), DType::kF32, positions.size(), 2, 8);
  // The last token attends: over kept rows, and over all rows with logits of the others at -Inf.
  for (int64_t head = 0; head < 4; ++head) {
    const auto attend = [&](const RowsView& k, const RowsView& v, const std::vector<bool>& is_visible) {
      std::vector<double> out(8, 0.0);
      double sum = 0;
      for (int64_t j = 0; j < k.token_count; ++j) {
        double logit = 0;
        for (int64_t d = 0; d < 16; ++d) {
          logit += double{RowElement(k, j, head / 2, d)} *
                   reinterpret_cast<const float*>(input.queries.data)[(7 * 4 + head) * 16 + d];
        }
        const double p = is_visible[j] ? std::exp(logit / 4) : 0.0;
        sum += p;
        for (int64_t d = 0; d < 8; ++d) out[d] += p * RowElement(v, j, head / 2, d);
      }
      for (double& value : out) value /= sum;
      return out;
    };
    std::vector<bool> kept(120, false);
    for (const int32_t position : positions) kept[position] = true;
    EXPECT_THAT(attend(keys, values, std::vector<bool>(positions.size(), true)),
                ::testing::Pointwise(::testing::DoubleNear(1e-12), attend(input.keys, input.values, kept)));
  }
}

TEST_P(CompactorConformance, GathersFp8AndItsScalesBitForBit) {
  // Scales: one float32 per head.
  for (const DType dtype : {DType::kF8E4M3, DType::kF8E5M2, DType::kF32}) {
    for (const RowLayout layout : kRowLayouts) {
      PromptOptions options;
      options.token_count = 90;
      options.dtype = dtype;
      options.key_head_size = dtype == DType::kF32 ? 1 : 7;
      options.value_head_size = dtype == DType::kF32 ? 1 : 5;
      options.layout = layout;
      options.source = ScoreSource::kTokenScores;
      const RandomPrompt prompt(options, 2);
      ExpectConforms(compactor(), PlanOf(Keep(Policy::kChunkKv, 0.5, 8), prompt), prompt);
    }
  }
}

TEST_P(CompactorConformance, GathersPiecesLargerThanCaches) {
  constexpr int64_t kTokens = 600;
  for (const bool head_major : {false, true}) {
    for (const int32_t head_size : {64, 5000}) {
      const int32_t heads = head_size == 64 ? 70 : 3;
      std::vector<float> data(kTokens * heads * head_size);
      for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<float>(i % 65521);
      const auto make = head_major ? HeadMajorRows : TokenMajorRows;
      const RowsView rows = make(data.data(), DType::kF32, kTokens, heads, head_size);
      std::vector<int32_t> positions;
      for (int32_t at = 1; at < kTokens; at += at % 7 == 0 ? 5 : 1) positions.push_back(at);
      std::vector<std::byte> kept(positions.size() * heads * head_size * sizeof(float) + 4);
      const GatherTask task{rows, positions, kept.data() + 4};
      Batch batch;
      batch.gather = absl::MakeConstSpan(&task, 1);
      ExecutionContext context;
      context.run_parallel = OnThreads(3);
      const Plan plan;
      ASSERT_TRUE(RunBatch(compactor(), plan, batch, context).ok());
      ExpectRows(rows, positions, std::vector<std::byte>(kept.begin() + 4, kept.end()));
    }
  }
}

TEST_P(CompactorConformance, RefusesPositionsOutsideTheRows) {
  std::vector<float> data(10 * 4);
  std::vector<std::byte> kept(4 * 4 * sizeof(float));
  const std::vector<int32_t> lists[] = {{-1},
                                        {10},
                                        {INT32_MAX},
                                        {INT32_MIN},
                                        {3, -1},
                                        {3, 10},
                                        {9, 10},
                                        {-1, 0},
                                        {10, 9, 8},
                                        {INT32_MAX, INT32_MIN},
                                        {3, 11, 4},
                                        {8, 9, 10, 0},
                                        {INT32_MIN, -1, 0, 1}};
  for (const std::vector<int32_t>& positions : lists) {
    for (const auto& [head_count, head_size] : {std::pair{1, 4}, {2, 2}, {1, 0}}) {
      for (const auto make : {TokenMajorRows, HeadMajorRows}) {
        const GatherTask task{make(data.data(), DType::kF32, 10, head_count, head_size), positions, kept.data()};
        Batch batch;
        batch.gather = absl::MakeConstSpan(&task, 1);
        ExecutionContext context;
        EXPECT_EQ(StatusReason(RunBatch(compactor(), Plan(), batch, context)), "BAD_POSITIONS")
            << ::testing::PrintToString(positions) << ", " << head_count << " heads of " << head_size;
      }
    }
  }
}

TEST_P(CompactorConformance, RefusesBlockIdsOutsideTheCache) {
  for (const RowLayout layout : {RowLayout::kPaged, RowLayout::kPagedHeadMajor}) {
    for (const size_t bad_block : {0, 1, 3}) {
      PromptOptions options;
      options.token_count = 49;
      options.layout = layout;
      RandomPrompt prompt(options, 1);
      const Plan plan = PlanOf(Keep(Policy::kChunkKv, 0.5, 8), prompt);
      const LayerInput& input = prompt.layers()[0];
      std::vector<float> scores(plan.past_length);
      const ScoreTask score{0, input.keys, input.queries, nullptr, {}, {}, scores.data()};
      std::vector<int32_t> positions(options.token_count);
      std::iota(positions.begin(), positions.end(), 0);
      std::vector<std::byte> kept(positions.size() * 2 * 8 * sizeof(float));
      const GatherTask gather{input.keys, positions, kept.data()};
      Batch scoring;
      scoring.score = absl::MakeConstSpan(&score, 1);
      Batch gathering;
      gathering.gather = absl::MakeConstSpan(&gather, 1);
      ExecutionContext context;
      for (const int32_t id : {-1, input.keys.block_count, INT32_MIN, INT32_MAX}) {
        prompt.SetKeyBlockId(0, bad_block, id);
        EXPECT_EQ(StatusReason(RunBatch(compactor(), plan, scoring, context)), "BAD_POSITIONS") << id;
        EXPECT_EQ(StatusReason(RunBatch(compactor(), plan, gathering, context)), "BAD_POSITIONS") << id;
      }
    }
  }
}

}  // namespace
}  // namespace chunkkv::testing
