#include "client/tune/agreement_meter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>

#include "chunkkv/kernels/status.h"

namespace chunkkv::tune {
namespace {

using testing::DoubleEq;
using testing::DoubleNear;
using testing::ElementsAre;
using testing::IsEmpty;

// Two tokens of the past of 8 are kept, and the window of 1.
CompactionSpec BestTwo() {
  CompactionSpec spec;
  spec.policy = Policy::kSnapKv;
  spec.pool = 1;
  spec.window_length = 1;
  spec.max_tokens = 3;
  return spec;
}

RecordedPrompt Prompt(std::vector<std::vector<float>> scores) {
  return {.token_count = 9, .chunk_starts = {}, .scores = std::move(scores)};
}

// Layers 0 and 2 choose tokens 0 and 1, layer 1 chooses 2 and 3; 0 and 1 together choose 0 and 2.
RecordedPrompt ThreeLayers() {
  return Prompt({{4, 3, 0, 0, 0, 0, 0, 1}, {1, 0, 4, 3, 0, 0, 0, 0}, {4, 3, 0, 0, 0, 0, 0, 1}});
}

class AgreementMeterTest : public testing::Test {
 protected:
  AgreementMeter Meter(const CompactionSpec& spec, int32_t max_group) {
    return AgreementMeter(spec, max_group, *compactor_, {});
  }
  const std::unique_ptr<Compactor> compactor_ = MakeCpuCompactor();
};

TEST_F(AgreementMeterTest, OnePromptOfKnownChoices) {
  AgreementMeter meter = Meter(BestTwo(), 3);
  ASSERT_TRUE(meter.Add(ThreeLayers()).value());
  LayerAgreement agreement = meter.Agreement();
  EXPECT_EQ(agreement.prompt_count, 1);
  EXPECT_EQ(agreement.token_count, 9);
  EXPECT_THAT(agreement.own_mass, ElementsAre(7.0 / 8, 7.0 / 8, 7.0 / 8));
  EXPECT_THAT(agreement.jaccard, ElementsAre(ElementsAre(0, 1), ElementsAre(0), IsEmpty()));

  LossTable& losses = agreement.losses;
  for (int32_t layer = 0; layer < 3; ++layer) EXPECT_EQ(losses.Led(layer, layer).mean, 0);
  EXPECT_THAT(losses.Led(0, 1).mean, DoubleEq(1 - 1.0 / 7));
  EXPECT_EQ(losses.Led(1, 0).mean, 1);
  EXPECT_EQ(losses.Led(0, 2).mean, 0);
  EXPECT_THAT(losses.Summed(0, 2, 0).mean, DoubleEq(1 - 4.0 / 7));
  EXPECT_THAT(losses.Summed(0, 2, 1).mean, DoubleEq(1 - 5.0 / 7));
  EXPECT_EQ(losses.Summed(1, 1, 1).mean, 0);
  // All three together score {9, 6, 4, 3, ...} and choose tokens 0 and 1.
  EXPECT_THAT(losses.Summed(0, 3, 1).mean, DoubleEq(1 - 1.0 / 7));
  EXPECT_EQ(losses.Summed(0, 3, 2).mean, 0);
}

TEST_F(AgreementMeterTest, MeansAndTheWorstPrompt) {
  AgreementMeter meter = Meter(BestTwo(), 2);
  const std::vector<float> first = {4, 3, 0, 0, 0, 0, 0, 1};
  ASSERT_TRUE(meter.Add(Prompt({first, first})).value());
  ASSERT_TRUE(meter.Add(ThreeLayers()).status().message().find("3 attention layers") != std::string::npos);
  ASSERT_TRUE(meter.Add(Prompt({first, {1, 0, 4, 3, 0, 0, 0, 0}})).value());
  LayerAgreement agreement = meter.Agreement();
  EXPECT_EQ(agreement.prompt_count, 2);
  EXPECT_THAT(agreement.jaccard[0], ElementsAre(0.5));
  EXPECT_THAT(agreement.losses.Led(0, 1).mean, DoubleEq((1 - 1.0 / 7) / 2));
  EXPECT_THAT(agreement.losses.Led(0, 1).worst, DoubleEq(1 - 1.0 / 7));
  EXPECT_EQ(agreement.losses.Led(0, 1).worst_prompt, 1);
  EXPECT_EQ(agreement.losses.Led(0, 0).worst_prompt, 0);
}

TEST_F(AgreementMeterTest, GivenChunksAreChosenWhole) {
  CompactionSpec spec = BestTwo();
  spec.policy = Policy::kChunkKv;
  spec.chunk_reduce = ChunkReduce::kSum;
  spec.max_tokens = 5;
  AgreementMeter meter = Meter(spec, 2);
  // Chunks {0, 1, 2} and {3} and {4 .. 7}: the first layer takes the last, the second the first and {3}.
  RecordedPrompt prompt = Prompt({{1, 1, 1, 0, 1, 1, 1, 1}, {2, 2, 2, 2, 1, 0, 0, 0}});
  prompt.chunk_starts = {0, 3, 4};
  ASSERT_TRUE(meter.Add(prompt).value());
  LayerAgreement agreement = meter.Agreement();
  EXPECT_THAT(agreement.own_mass, ElementsAre(DoubleNear(4.0 / 7, 1e-12), DoubleNear(8.0 / 9, 1e-12)));
  EXPECT_THAT(agreement.losses.Led(0, 1).mean, DoubleEq(1 - 1.0 / 8));
  EXPECT_THAT(agreement.losses.Led(1, 0).mean, DoubleEq(1 - 3.0 / 4));

  prompt.chunk_starts.clear();
  EXPECT_EQ(StatusReason(meter.Add(prompt).status()), "MIXED_CHUNKS");
}

TEST_F(AgreementMeterTest, ALayerWithNothingLosesNothing) {
  AgreementMeter meter = Meter(BestTwo(), 2);
  ASSERT_TRUE(meter.Add(Prompt({std::vector<float>(8, 0), {1, 0, 4, 3, 0, 0, 0, 0}})).value());
  LayerAgreement agreement = meter.Agreement();
  EXPECT_EQ(agreement.own_mass[0], 1);
  EXPECT_EQ(agreement.losses.Led(1, 0).mean, 0);
}

TEST_F(AgreementMeterTest, PromptsThatSayNothingAreCountedOnly) {
  AgreementMeter meter = Meter(BestTwo(), 2);
  const RecordedPrompt short_prompt{.token_count = 3, .chunk_starts = {}, .scores = {{1, 1}}};
  EXPECT_FALSE(meter.Add(short_prompt).value());
  ASSERT_TRUE(meter.Add(ThreeLayers()).value());
  LayerAgreement agreement = meter.Agreement();
  EXPECT_EQ(agreement.skipped_count, 1);
  EXPECT_EQ(agreement.prompt_count, 1);
  EXPECT_EQ(agreement.losses.Led(0, 1).worst_prompt, 1);

  CompactionSpec window_only = BestTwo();
  window_only.max_tokens = 1;
  EXPECT_FALSE(Meter(window_only, 2).Add(ThreeLayers()).value());
}

TEST_F(AgreementMeterTest, GroupsOfTheSpecPlayNoPart) {
  CompactionSpec spec = BestTwo();
  spec.groups = {{0, 3, 2}};
  spec.min_retained_mass = 1;
  AgreementMeter meter = Meter(spec, 8);
  ASSERT_TRUE(meter.Add(ThreeLayers()).value());
  EXPECT_EQ(meter.Agreement().losses.max_group(), 3);
  EXPECT_EQ(meter.Agreement().losses.Of({1, 1, 1}, 1).mean, 0);
}

TEST_F(AgreementMeterTest, WhatIsRefusedIsNotCounted) {
  AgreementMeter meter = Meter(BestTwo(), 2);
  const auto reason = [&](const RecordedPrompt& prompt) { return StatusReason(meter.Add(prompt).status()); };
  EXPECT_EQ(reason(Prompt({})), "LAYERS_DIFFER");
  EXPECT_EQ(reason(Prompt({{1, 2, 3}})), "BAD_SCORES");
  EXPECT_EQ(reason(Prompt({{1, 2, 3, 4, 5, 6, 7, std::nanf("")}})), "NON_FINITE_INPUT");
  EXPECT_EQ(reason(Prompt({{1, 2, 3, 4, 5, 6, 7, std::numeric_limits<float>::infinity()}})), "NON_FINITE_INPUT");
  EXPECT_EQ(reason(Prompt({{1, 2, 3, 4, 5, 6, 7, -1}})), "NEGATIVE_SCORES");
  EXPECT_EQ(meter.Agreement().prompt_count, 0);
  CompactionSpec recent = BestTwo();
  recent.policy = Policy::kStreamingLlm;
  recent.pool.reset();
  EXPECT_EQ(StatusReason(Meter(recent, 2).Add(ThreeLayers()).status()), "NO_AGREEMENT_TO_MEASURE");
}

}  // namespace
}  // namespace chunkkv::tune
