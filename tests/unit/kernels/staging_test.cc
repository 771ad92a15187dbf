// What a device's help changes for the host beside its results (conformance): what happens when it fails, and what it
// keeps.
#include "chunkkv/kernels/staging.h"

#include <gtest/gtest.h>

#include <thread>

#include "chunkkv/kernels/status.h"
#include "kernels/cuda/cuda_compactor.h"
#include "kernels/cuda/emulated_launcher.h"
#include "tests/support/host_device_memory.h"
#include "tests/unit/kernels/compaction_run.h"
#include "tests/unit/kernels/random_prompt.h"

namespace chunkkv::testing {
namespace {

class StagingTest : public ::testing::Test {
 protected:
  StagingTest() {
    auto memory = std::make_unique<HostDeviceMemory>();
    memory_ = memory.get();
    compactor_ =
        MakeStagingCompactor(cuda::MakeCompactor(cuda::MakeEmulatedLauncher()), std::move(memory), MakeCpuCompactor());
  }

  static PromptOptions ThreeLayers() {
    PromptOptions options;
    options.token_count = 300;
    options.layer_count = 3;
    return options;
  }

  static Plan PlanOf(const RandomPrompt& prompt) {
    CompactionSpec spec;
    spec.policy = Policy::kChunkKv;
    spec.keep_ratio = 0.3;
    spec.window_length = 8;
    return MakePlan(spec, prompt.shape()).value();
  }

  CompactionOutcome Run(const RandomPrompt& prompt) { return Compact(*compactor_, PlanOf(prompt), prompt.layers()); }

  HostDeviceMemory* memory_;
  std::unique_ptr<Compactor> compactor_;
};

TEST_F(StagingTest, AllocatesNothingOnceItHasSeenTheLargestLayer) {
  const RandomPrompt prompt(ThreeLayers(), 1);
  ASSERT_TRUE(Run(prompt).status.ok());
  const int allocations = memory_->allocation_count();
  EXPECT_GT(allocations, 0) << "the device had no part in it";
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Run(prompt).status.ok());
  EXPECT_EQ(memory_->allocation_count(), allocations);
}

TEST_F(StagingTest, TheHostScoresWhileTheDevicesMemoryIsFull) {
  const RandomPrompt prompt(ThreeLayers(), 2);
  const CompactionOutcome by_host = Compact(*MakeCpuCompactor(), PlanOf(prompt), prompt.layers());
  memory_->RunOutOfMemory();
  const CompactionOutcome outcome = Run(prompt);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.token_scores, by_host.token_scores);
  EXPECT_EQ(outcome.keys, by_host.keys);
  EXPECT_EQ(memory_->allocation_count(), 0);
  memory_->RunOutOfMemory(false);
  ASSERT_TRUE(Run(prompt).status.ok());
  EXPECT_GT(memory_->allocation_count(), 0) << "it was not tried again";
}

TEST_F(StagingTest, TheHostScoresOnceTheDeviceIsBroken) {
  const RandomPrompt prompt(ThreeLayers(), 3);
  ASSERT_TRUE(Run(prompt).status.ok());
  const int allocations = memory_->allocation_count();
  memory_->Break();
  const CompactionOutcome by_host = Compact(*MakeCpuCompactor(), PlanOf(prompt), prompt.layers());
  for (int i = 0; i < 2; ++i) {
    const CompactionOutcome outcome = Run(prompt);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_EQ(outcome.token_scores, by_host.token_scores);
  }
  EXPECT_EQ(memory_->allocation_count(), allocations);
}

TEST_F(StagingTest, WhatTheDeviceRefusesIsScoredByTheHost) {
  PromptOptions options;
  options.key_head_size = 2056;  // SCORING_HEAD_SIZE on a GPU
  options.token_count = 20;
  const RandomPrompt prompt(options, 4);
  EXPECT_TRUE(Run(prompt).status.ok());
}

TEST_F(StagingTest, RequestsOnManyThreadsDoNotMeet) {
  std::vector<std::unique_ptr<RandomPrompt>> prompts;
  std::vector<CompactionOutcome> alone;
  for (uint32_t seed = 0; seed < 5; ++seed) {
    PromptOptions options = ThreeLayers();
    options.token_count = 100 + 60 * seed;
    prompts.push_back(std::make_unique<RandomPrompt>(options, seed));
    alone.push_back(Run(*prompts.back()));
  }
  std::vector<CompactionOutcome> together(prompts.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < prompts.size(); ++i) threads.emplace_back([&, i] { together[i] = Run(*prompts[i]); });
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ(together[i].token_scores, alone[i].token_scores);
    EXPECT_EQ(together[i].positions, alone[i].positions);
    EXPECT_EQ(together[i].keys, alone[i].keys);
  }
}

}  // namespace
}  // namespace chunkkv::testing
