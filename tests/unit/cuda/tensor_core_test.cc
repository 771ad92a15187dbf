// The kernels that score on tensor cores, at every size of head that they are made for and at those between, against
// the plain reference.
#include <gtest/gtest.h>

#include <cstdint>
#include <random>

#include "tests/unit/cuda/agreement.h"
#include "tests/unit/kernels/agreement.h"

namespace chunkkv::testing {
namespace {

class TensorCoreTest : public ::testing::TestWithParam<int32_t> {};
INSTANTIATE_TEST_SUITE_P(HeadSizes, TensorCoreTest, ::testing::Values(8, 16, 24, 64, 72, 80, 96, 128, 160, 192, 256),
                         ::testing::PrintToStringParamName());

template <typename T, size_t kCount>
T Cycle(const T (&values)[kCount], size_t n) {
  return values[n % kCount];
}

constexpr RowLayout kDenseAndPaged[] = {RowLayout::kTokenMajor, RowLayout::kHeadMajor, RowLayout::kPaged,
                                        RowLayout::kPagedHeadMajor};

// Whether the scores were those of the kernels on tensor cores.
void ExpectTensorCores(const EmulatedDevice& device, int32_t head_size) {
  int scored = 0;
  for (const LaunchSeen& launch : device.launches()) {
    if (launch.kernel != "Score" && launch.kernel != "FindDenominators") continue;
    EXPECT_EQ(launch.steps, (head_size + 31) / 32) << launch.kernel;
    ++scored;
  }
  EXPECT_GT(scored, 0);
}

PromptOptions OptionsOf(int32_t head_size, size_t n) {
  PromptOptions options;
  options.key_head_size = head_size;
  options.value_head_size = 8;
  options.dtype = n % 2 == 0 ? DType::kBF16 : DType::kF16;
  options.layout = Cycle(kDenseAndPaged, n / 2);
  options.block_token_count = n % 3 == 0 ? 16 : 5;
  options.kv_head_count = 1 + static_cast<int32_t>(n % 2);
  options.has_lse = n / 2 % 2 == 1;
  options.softcap = n % 3 == 1 ? 20 : 0;
  options.has_sink_logits = n % 4 < 2;
  return options;
}

TEST_P(TensorCoreTest, AgreesAtTokenCountsThatHurt) {
  constexpr int64_t kTokenCounts[] = {2, 15, 16, 17, 31, 33, 63, 64, 65, 66, 97, 127, 128, 129, 161, 255, 257};
  size_t n = 0;
  for (const int64_t token_count : kTokenCounts) {
    PromptOptions options = OptionsOf(GetParam(), ++n);
    options.token_count = token_count;
    options.heads_per_kv = Cycle({1, 2, 4}, n);
    options.window_length = Cycle({1, 4, 7}, n / 2);
    SCOPED_TRACE(::testing::Message() << "L = " << token_count << ", w = " << options.window_length);
    const RandomPrompt prompt(options, static_cast<uint32_t>(n));
    EmulatedDevice device(n);
    ExpectAgreesWithReference(device, PlanFor(KeepByChunks(0.4, options.window_length), prompt.shape()), prompt);
    if (token_count > options.window_length * 3) ExpectTensorCores(device, GetParam());
  }
}

TEST_P(TensorCoreTest, AgreesForEveryNumberOfRowsThatShareAKvHead) {
  size_t n = 0;
  for (const int32_t heads_per_kv : {1, 2, 4, 7, 8}) {
    for (const int32_t window_length : {1, 2, 9, 16, 33, 64}) {
      PromptOptions options = OptionsOf(GetParam(), ++n);
      options.kv_head_count = 1;
      options.token_count = window_length + 40;
      options.heads_per_kv = heads_per_kv;
      options.window_length = window_length;
      SCOPED_TRACE(::testing::Message() << "G = " << heads_per_kv << ", w = " << window_length);
      const RandomPrompt prompt(options, static_cast<uint32_t>(n));
      EmulatedDevice device(n);
      ExpectAgreesWithReference(device, PlanFor(KeepByChunks(0.8, window_length), prompt.shape()), prompt);
    }
  }
}

// Around the tokens of a partial denominator, where the first pass hands over to its next run.
TEST_P(TensorCoreTest, AgreesAroundRunsOfTheFirstPass) {
  size_t n = 0;
  for (const int64_t token_count : {1023, 1024, 1025, 1091}) {
    PromptOptions options = OptionsOf(GetParam(), ++n);
    options.kv_head_count = 1;
    options.has_lse = n == 1;
    options.token_count = token_count;
    options.heads_per_kv = 2;
    options.window_length = 3;
    SCOPED_TRACE(::testing::Message() << "L = " << token_count);
    const RandomPrompt prompt(options, static_cast<uint32_t>(n));
    EmulatedDevice device(n);
    ExpectAgreesWithReference(device, PlanFor(KeepByChunks(0.3, 3), prompt.shape()), prompt);
    ExpectTensorCores(device, GetParam());
  }
}

TEST_P(TensorCoreTest, GivesTheSameBitsInAnyOrderOfThreads) {
  for (const bool has_lse : {false, true}) {
    PromptOptions options = OptionsOf(GetParam(), 3);
    options.has_lse = has_lse;
    options.token_count = 150;
    options.window_length = 8;
    const RandomPrompt prompt(options, 1);
    const Plan plan = PlanFor(KeepByChunks(0.4, 8), prompt.shape());
    const CompactionOutcome first = EmulatedDevice(0).Compact(plan, prompt.layers());
    for (const uint64_t seed : {1, 2, 3, 4}) ExpectSameBits(EmulatedDevice(seed).Compact(plan, prompt.layers()), first);
  }
}

TEST(LatentTest, HeadsOf576WithoutValuesGoThroughThePlainKernels) {
  for (const bool has_lse : {false, true}) {
    PromptOptions options;
    options.token_count = 131;
    options.kv_head_count = 1;
    options.heads_per_kv = 8;
    options.key_head_size = 576;
    options.value_head_size = 0;
    options.dtype = DType::kBF16;
    options.has_lse = has_lse;
    options.window_length = 4;
    options.layout = has_lse ? RowLayout::kPaged : RowLayout::kTokenMajor;
    const RandomPrompt prompt(options, 5);
    EmulatedDevice device;
    ExpectAgreesWithReference(device, PlanFor(KeepByChunks(0.3, 4), prompt.shape()), prompt);
    for (const LaunchSeen& launch : device.launches()) EXPECT_EQ(launch.steps, 0) << launch.kernel;
  }
}

}  // namespace
}  // namespace chunkkv::testing
