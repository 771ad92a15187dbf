// Scores without LSE in one pass over the keys, by sums of parts of chunks, against the plain reference.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "chunkkv/kernels/status.h"
#include "tests/unit/cuda/agreement.h"
#include "tests/unit/kernels/agreement.h"
#include "tests/unit/kernels/chunk_means.h"

namespace chunkkv::testing {
namespace {

class PartsTest : public ::testing::TestWithParam<int32_t> {};
INSTANTIATE_TEST_SUITE_P(HeadSizes, PartsTest, ::testing::Values(64, 72, 80, 96, 128, 160, 192, 256),
                         ::testing::PrintToStringParamName());

struct Case {
  PromptOptions prompt;
  CompactionSpec spec;
};

Case CaseOf(int32_t head_size, size_t n) {
  Case c;
  c.prompt.token_count = 150;
  c.prompt.key_head_size = head_size;
  c.prompt.value_head_size = 8;
  c.prompt.dtype = n % 2 == 0 ? DType::kBF16 : DType::kF16;
  c.prompt.kv_head_count = 1 + static_cast<int32_t>(n % 2);
  c.prompt.heads_per_kv = n % 3 == 0 ? 1 : 3;
  c.prompt.window_length = n % 4 == 1 ? 1 : 7;
  c.prompt.softcap = n % 3 == 1 ? 20 : 0;
  c.prompt.has_sink_logits = n % 4 < 2;
  c.prompt.layout = n % 2 == 0 ? RowLayout::kTokenMajor : RowLayout::kPagedHeadMajor;
  c.prompt.layer_count = 9;  // so that one layer's sums are little of the KV
  c.spec = KeepByChunks(0.4, c.prompt.window_length);
  c.spec.reuse_group = c.prompt.layer_count;
  c.spec.chunk_reduce = n % 2 == 0 ? ChunkReduce::kSum : ChunkReduce::kMean;
  return c;
}

bool HasLaunched(const EmulatedDevice& device, std::string_view kernel) {
  return std::any_of(device.launches().begin(), device.launches().end(),
                     [&](const LaunchSeen& launch) { return launch.kernel == kernel; });
}

// That the one pass was taken, and agrees.
void ExpectPartsAgree(const Case& c, uint32_t seed) {
  const RandomPrompt prompt(c.prompt, seed);
  const Plan plan = PlanFor(c.spec, prompt.shape());
  EmulatedDevice device(seed);
  const CompactionOutcome outcome = device.Compact(plan, AllowChunkMeans(prompt.layers()));
  EXPECT_TRUE(HasLaunched(device, "SumParts") && HasLaunched(device, "ScoreParts"));
  EXPECT_FALSE(HasLaunched(device, "Score") || HasLaunched(device, "FindDenominators"));
  ExpectAgreesByChunks(plan, prompt, outcome);
}

TEST_P(PartsTest, AgreeAtTokenCountsThatHurt) {
  size_t n = 0;
  for (const int64_t token_count : {24, 33, 47, 64, 65, 127, 128, 129, 257, 1100}) {
    Case c = CaseOf(GetParam(), ++n);
    c.prompt.token_count = token_count;
    SCOPED_TRACE(::testing::Message() << "L = " << token_count);
    ExpectPartsAgree(c, static_cast<uint32_t>(n));
  }
}

TEST_P(PartsTest, AgreeForEveryChunkLengthAndSinks) {
  size_t n = 0;
  for (const int32_t chunk_length : {6, 10, 11, 15, 33, 400}) {
    for (const int32_t sink_tokens : {0, 3, 21}) {
      Case c = CaseOf(GetParam(), ++n);
      c.prompt.layer_count = 24;  // chunks of 6 have twice as many parts, and longer ones than the prompt empty ones
      c.spec.reuse_group = c.prompt.layer_count;
      c.spec.chunk_length = chunk_length;
      c.spec.sink_tokens = sink_tokens;
      c.spec.keep_ratio = 0.6;
      SCOPED_TRACE(::testing::Message() << "chunks of " << chunk_length << ", sinks " << sink_tokens);
      ExpectPartsAgree(c, static_cast<uint32_t>(n));
    }
  }
}

TEST_P(PartsTest, AgreeForMoreRowsThanAPieceHas) {
  Case c = CaseOf(GetParam(), 2);
  c.prompt.token_count = 130;
  c.prompt.layer_count = 48;
  c.spec.reuse_group = c.prompt.layer_count;
  c.prompt.heads_per_kv = 5;
  c.spec.window_length = c.prompt.window_length = 29;  // 145 rows
  c.spec.chunk_length = 30;
  ExpectPartsAgree(c, 3);
}

TEST_P(PartsTest, GiveTheSameBitsInAnyOrderOfThreads) {
  const Case c = CaseOf(GetParam(), 2);
  const RandomPrompt prompt(c.prompt, 1);
  const Plan plan = PlanFor(c.spec, prompt.shape());
  const CompactionOutcome first = EmulatedDevice(0).Compact(plan, AllowChunkMeans(prompt.layers()));
  for (const uint64_t seed : {1, 2, 3})
    ExpectSameBits(EmulatedDevice(seed).Compact(plan, AllowChunkMeans(prompt.layers())), first);
}

TEST(PartsOfChunksTest, AreAddedUpOverTheLayersOfAGroup) {
  Case c = CaseOf(128, 2);
  c.spec.reuse_group = 2;
  c.spec.group_score = GroupScore::kSum;
  ExpectPartsAgree(c, 4);
}

TEST(PartsOfChunksTest, AreLeftToTwoPassesWhereTheyWouldMoveMoreThanKeys) {
  Case c = CaseOf(64, 2);
  c.prompt.heads_per_kv = 8;
  c.spec.window_length = c.prompt.window_length = 32;
  const RandomPrompt prompt(c.prompt, 1);
  EmulatedDevice device;
  EXPECT_TRUE(device.Compact(PlanFor(c.spec, prompt.shape()), AllowChunkMeans(prompt.layers())).status.ok());
  EXPECT_TRUE(HasLaunched(device, "FindDenominators") && HasLaunched(device, "Score"));
}

TEST(PartsOfChunksTest, AreLeftToTwoPassesWhereTheyWouldBeMuchOfTheKv) {
  Case c = CaseOf(64, 2);
  c.prompt.layer_count = 2;
  c.spec.reuse_group = 2;
  const RandomPrompt prompt(c.prompt, 1);
  EmulatedDevice device;
  EXPECT_TRUE(device.Compact(PlanFor(c.spec, prompt.shape()), AllowChunkMeans(prompt.layers())).status.ok());
  EXPECT_TRUE(HasLaunched(device, "FindDenominators") && HasLaunched(device, "Score"));
}

TEST(PartsOfChunksTest, LogitsThatAreNotFiniteAreReported) {
  for (const bool in_window : {false, true}) {
    const Case c = CaseOf(128, 3);
    RandomPrompt prompt(c.prompt, 1);
    prompt.SetKey(0, in_window ? c.prompt.token_count - 1 : 40, 0, 5, -INFINITY);
    const CompactionOutcome outcome =
        EmulatedDevice().Compact(PlanFor(c.spec, prompt.shape()), AllowChunkMeans(prompt.layers()));
    EXPECT_EQ(StatusReason(outcome.status), "NON_FINITE_INPUT") << outcome.status;
  }
}

}  // namespace
}  // namespace chunkkv::testing
