// More layers, lists and chunks than one launch's parameters hold.
#include <gtest/gtest.h>

#include <cstdint>
#include <random>

#include "kernels/cuda/copy_rows_params.h"
#include "kernels/cuda/select_params.h"
#include "kernels/cuda/upload_kernel.h"
#include "tests/unit/cuda/agreement.h"

namespace chunkkv::testing {
namespace {

constexpr int32_t kLayers = 130;
static_assert(kLayers > cuda::kSelectGroupsPerLaunch && kLayers > cuda::kCopyTasksPerLaunch &&
              kLayers > cuda::kScoreLayersPerLaunch);

PromptOptions ManyLayers(ScoreSource source) {
  PromptOptions options;
  options.layer_count = kLayers;
  options.token_count = 90;
  options.kv_head_count = 1;
  options.source = source;
  return options;
}

int LaunchesOf(const EmulatedDevice& device, std::string_view kernel) {
  int count = 0;
  for (const LaunchSeen& launch : device.launches()) count += launch.kernel == kernel;
  return count;
}

TEST(ManyLayersTest, ChooseTogether) {
  for (const ScoreSource source : {ScoreSource::kQueryWindow, ScoreSource::kAttention, ScoreSource::kTokenScores}) {
    SCOPED_TRACE(ScoreSourceName(source));
    const RandomPrompt prompt(ManyLayers(source), 1);
    CompactionSpec spec = KeepByChunks(0.3, 8);
    spec.chunk_length = 4;
    spec.group_score = GroupScore::kSum;
    for (const int32_t group : {kLayers, 67}) {
      spec.reuse_group = group;
      EmulatedDevice device;
      ExpectAgreesWithReference(device, PlanFor(spec, prompt.shape()), prompt);
    }
  }
}

TEST(ManyLayersTest, ChooseEachForItself) {
  const RandomPrompt prompt(ManyLayers(ScoreSource::kQueryWindow), 2);
  EmulatedDevice device;
  ExpectAgreesWithReference(device, PlanFor(KeepByChunks(0.3, 8), prompt.shape()), prompt);
  EXPECT_EQ(LaunchesOf(device, "Select"), 3);
  EXPECT_EQ(LaunchesOf(device, "Gather"), 3);
  EXPECT_EQ(LaunchesOf(device, "Upload"), 0);  // groups of one list name it themselves
}

TEST(ManyLayersTest, ChunksGivenTakeSeveralUploads) {
  PromptOptions options;
  options.token_count = 4 * cuda::kUploadWords;
  options.kv_head_count = 1;
  options.heads_per_kv = 1;
  options.key_head_size = options.value_head_size = 1;
  options.layer_count = 2;
  options.source = ScoreSource::kTokenScores;
  const RandomPrompt prompt(options, 3);
  CompactionSpec spec = KeepByChunks(0.3, 8);
  std::mt19937 random(3);
  for (int32_t at = 0; at < options.token_count - 8; at += 1 + static_cast<int32_t>(random() % 2)) {
    spec.chunk_starts.push_back(at);
  }
  ASSERT_GT(spec.chunk_starts.size(), 2 * static_cast<size_t>(cuda::kUploadWords));
  EmulatedDevice device;
  ExpectAgreesWithReference(device, PlanFor(spec, prompt.shape()), prompt);
  EXPECT_GE(LaunchesOf(device, "Upload"), 3);
}

}  // namespace
}  // namespace chunkkv::testing
