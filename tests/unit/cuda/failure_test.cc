// Which of many failures a batch reports.
#include "kernels/cuda/failure.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "chunkkv/kernels/status.h"
#include "kernels/simt/emulation/grid.h"
#include "tests/unit/cuda/agreement.h"

namespace chunkkv::testing {
namespace {

using cuda::FailureKind;

constexpr int kThreads = 96;

// What `failure` holds after a block has reported a word a thread.
uint64_t Reported(uint64_t failure, const std::vector<uint64_t>& words) {
  simt::emulation::RunGrid({1, kThreads, 0}, /*seed=*/1,
                           [&] { cuda::ReportLeast(&failure, words[simt::ThreadIndex()]); });
  return failure;
}

TEST(FailureTest, OfALaterElementIsTheLargerWord) {
  const uint64_t word = cuda::FailureWord(3, 70, 9, FailureKind::kNonFinite);
  EXPECT_LT(word, cuda::FailureWord(3, 71, 2, FailureKind::kNonFinite));
  EXPECT_LT(word, cuda::FailureWord(4, 0, 0, FailureKind::kNonFinite));
  EXPECT_LT(cuda::FailureWord(cuda::kCopyOrder, cuda::kMaxFailureIndex + 5, 8191, FailureKind::kBadPosition),
            kNoFailure);
  EXPECT_EQ(cuda::LayerOfFailure(word), 9);
  EXPECT_EQ(cuda::KindOfFailure(word), FailureKind::kNonFinite);
}

TEST(FailureTest, LeastOfAllThreadsIsReported) {
  std::vector<uint64_t> words(kThreads, kNoFailure);
  EXPECT_EQ(Reported(kNoFailure, words), kNoFailure);
  EXPECT_EQ(Reported(41, words), 41);
  for (int thread = 0; thread < kThreads; ++thread) {
    words.assign(kThreads, kNoFailure);
    words[thread] = 100;
    words[(thread + 7) % kThreads] = 101;
    words[(thread + 39) % kThreads] = uint64_t{1} << 40;
    EXPECT_EQ(Reported(kNoFailure, words), 100) << thread;
    EXPECT_EQ(Reported(99, words), 99) << thread;
  }
}

// A probability that is negative before one that is not a number, and the other way round, in one column and in two:
// of the window, whose scores are not added up.
TEST(FailureTest, OfProbabilitiesIsTheFirstInOrderOfElements) {
  constexpr int64_t kFirst = 645;
  for (const int64_t second : {646, 649, 650 + 645, 3 * 650 + 648}) {
    for (const bool negative_first : {false, true}) {
      PromptOptions options;
      options.token_count = 650;
      options.source = ScoreSource::kAttention;
      RandomPrompt prompt(options, 1);
      const Plan plan = PlanFor(KeepByChunks(0.3, 8), prompt.shape());
      std::vector<LayerInput> layers = prompt.layers();
      const int64_t count = plan.token_count * plan.layers[0].query_head_count * 8;
      std::vector<float> attention(count, 0.001f);
      ASSERT_LT(second, count);
      attention[negative_first ? kFirst : second] = -1.0f;
      attention[negative_first ? second : kFirst] = std::numeric_limits<float>::quiet_NaN();
      layers[0].attention.data = reinterpret_cast<const std::byte*>(attention.data());
      layers[0].attention.dtype = DType::kF32;
      EmulatedDevice device;
      const absl::Status status = device.Compact(plan, layers).status;
      EXPECT_EQ(StatusReason(status), negative_first ? "NEGATIVE_SCORES" : "NON_FINITE_INPUT");
    }
  }
}

}  // namespace
}  // namespace chunkkv::testing
