// Results do not depend on what else runs, nor on how many multiprocessors do.
#include <gtest/gtest.h>

#include <memory>

#include "chunkkv/kernels/cuda.h"
#include "tests/gpu/device_request.h"
#include "tests/gpu/draw.h"
#include "tests/gpu/large_prompt.h"
#include "tests/unit/kernels/agreement.h"

namespace chunkkv::testing {
namespace {

class LargeOrderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    compactor_ = MakeCudaCompactor(0).value();
    memory_ = MakeCudaMemory(0).value();
    stream_ = memory_->CreateStream().value();
    inputs_ = std::make_unique<DeviceMirror>(*memory_, stream_);
  }
  void TearDown() override {
    inputs_.reset();
    if (stream_ != nullptr) memory_->DestroyStream(stream_);
  }

  // A request of 8k tokens; its prompt and plan live as long as the test.
  std::unique_ptr<DeviceRequest> NewRequest(size_t which) {
    return std::make_unique<DeviceRequest>(*compactor_, *memory_, *plans_[which], layers_[which]);
  }
  void AddPrompt(bool has_lse, RowLayout layout) {
    LargeOptions options;
    options.token_count = 8192 + draw_.Between(-70, 70);
    options.has_lse = has_lse;
    options.layout = layout;
    prompts_.push_back(std::make_unique<LargePrompt>(options, draw_));
    CompactionSpec spec;
    spec.policy = Policy::kChunkKv;
    spec.keep_ratio = 0.3;
    plans_.push_back(std::make_unique<Plan>(MakePlan(spec, prompts_.back()->shape()).value()));
    layers_.push_back(prompts_.back()->OnDevice(*inputs_, memory_->Place()));
  }
  CompactionOutcome Run(size_t which, int32_t max_sm_count) {
    const auto request = NewRequest(which);
    const absl::Status started = request->Start(max_sm_count);
    EXPECT_TRUE(started.ok()) << started;
    return request->Finish();
  }

  Draw draw_{1};

 private:
  std::unique_ptr<Compactor> compactor_;
  std::unique_ptr<DeviceMemory> memory_;
  void* stream_ = nullptr;
  std::vector<std::unique_ptr<LargePrompt>> prompts_;
  std::vector<std::unique_ptr<Plan>> plans_;
  std::vector<std::vector<LayerInput>> layers_;
  std::unique_ptr<DeviceMirror> inputs_;
};

TEST_F(LargeOrderTest, GivesTheSameBitsAgainAndOnAnyNumberOfMultiprocessors) {
  size_t which = 0;
  for (const bool has_lse : {false, true}) {
    AddPrompt(has_lse, has_lse ? RowLayout::kPaged : RowLayout::kTokenMajor);
    const CompactionOutcome all = Run(which, 0);
    for (const int32_t max_sm_count : {0, 1, 7}) {
      SCOPED_TRACE(::testing::Message() << "GPU_TEST_SEED=" << RunSeed() << ", " << max_sm_count << " SMs");
      ExpectSameBits(Run(which, max_sm_count), all);
    }
    ++which;
  }
}

TEST_F(LargeOrderTest, TwoStreamsAtOnceDoNotDisturbEachOther) {
  AddPrompt(false, RowLayout::kHeadMajor);
  AddPrompt(true, RowLayout::kTokenMajor);
  const CompactionOutcome alone[] = {Run(0, 0), Run(1, 0)};
  for (int round = 0; round < 5; ++round) {
    SCOPED_TRACE(::testing::Message() << "GPU_TEST_SEED=" << RunSeed() << ", round " << round);
    const std::unique_ptr<DeviceRequest> requests[] = {NewRequest(0), NewRequest(1)};
    for (const auto& request : requests) ASSERT_TRUE(request->Start(round % 2 == 0 ? 0 : 16).ok());
    for (int i = 0; i < 2; ++i) ExpectSameBits(requests[i]->Finish(), alone[i]);
  }
}

}  // namespace
}  // namespace chunkkv::testing
