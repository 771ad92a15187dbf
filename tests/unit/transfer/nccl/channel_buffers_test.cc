#include "service/transfer/nccl/channel_buffers.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>

#include "chunkkv/kernels/status.h"
#include "tests/support/host_device_memory.h"
#include "tests/unit/transfer/nccl/channel_rig.h"

namespace chunkkv {
namespace {

class ChannelBuffersTest : public ::testing::Test {
 protected:
  // Empty where the channel has none left; the test fails where it ends otherwise.
  std::optional<ChannelBuffer> Take(uint8_t channel) {
    auto taken = buffers_->Take(Bytes16{channel}, [this] { ++freed_; });
    EXPECT_TRUE(taken.ok()) << taken.status();
    return taken.ok() ? *std::move(taken) : std::nullopt;
  }

  std::unique_ptr<HostDeviceMemory> owned_ = std::make_unique<HostDeviceMemory>();
  HostDeviceMemory& memory_ = *owned_;
  std::unique_ptr<ChannelBuffers> buffers_ = ChannelBuffers::Open(std::move(owned_)).value();
  int freed_ = 0;
};

TEST_F(ChannelBuffersTest, CopiesThroughTheDeviceToAnyPieces) {
  const std::optional<ChannelBuffer> buffer = Take(1);
  const Bytes sent = Pattern(1000, 3);
  ASSERT_TRUE(buffers_->CopyIn(*buffer, sent).ok());
  EXPECT_TRUE(std::equal(sent.begin(), sent.end(), static_cast<const std::byte*>(buffer->memory())));
  Bytes first(7), second(993);
  const absl::Span<std::byte> pieces[] = {absl::MakeSpan(first), {}, absl::MakeSpan(second)};
  ASSERT_TRUE(buffers_->CopyOut(pieces, *buffer).ok());
  first.insert(first.end(), second.begin(), second.end());
  EXPECT_EQ(first, sent);
}

TEST_F(ChannelBuffersTest, GivesEachChannelAFewAndTellsWhoWaits) {
  std::deque<std::optional<ChannelBuffer>> taken;
  for (int i = 0; i < ChannelBuffers::kMostOfChannel; ++i) taken.push_back(Take(1));
  EXPECT_FALSE(Take(1).has_value());
  EXPECT_FALSE(Take(1).has_value());
  EXPECT_TRUE(Take(2).has_value());  // given back at once
  EXPECT_EQ(freed_, 0);
  taken.pop_front();
  EXPECT_EQ(freed_, 2);
  EXPECT_TRUE(Take(1).has_value());
  taken.clear();
  EXPECT_EQ(freed_, 2);
  EXPECT_EQ(buffers_->in_use(), 0);
}

TEST_F(ChannelBuffersTest, KeepsThemForTheNextAndNotTooMany) {
  { const std::optional<ChannelBuffer> buffer = Take(1); }
  const int allocations = memory_.allocation_count();
  { const std::optional<ChannelBuffer> buffer = Take(2); }
  EXPECT_EQ(memory_.allocation_count(), allocations);
  std::deque<std::optional<ChannelBuffer>> taken;
  for (uint8_t i = 0; i <= ChannelBuffers::kMostKept; ++i) taken.push_back(Take(i));
  const int most = memory_.allocation_count();
  taken.clear();
  for (uint8_t i = 0; i <= ChannelBuffers::kMostKept; ++i) taken.push_back(Take(i));
  EXPECT_EQ(memory_.allocation_count(), most + 2);  // on both sides
}

TEST_F(ChannelBuffersTest, NeverGivesOutWhatMayStillBeTouched) {
  std::optional<ChannelBuffer> stuck = Take(1);
  void* const memory = stuck->memory();
  stuck->Abandon();
  EXPECT_EQ(buffers_->in_use(), 0);
  const std::optional<ChannelBuffer> next = Take(1);
  EXPECT_NE(next->memory(), memory);
  // What is lost to the device cannot be given back to it.
  static auto* const never_ended = new std::vector<ChannelBuffers*>;
  never_ended->push_back(buffers_.release());
}

TEST_F(ChannelBuffersTest, LeavesNothingBehindWhereThereIsNoMemory) {
  memory_.RunOutOfMemory();
  EXPECT_EQ(StatusReason(buffers_->Take(Bytes16{1}, [] {}).status()), "DEVICE_MEMORY_EXHAUSTED");
  EXPECT_EQ(buffers_->in_use(), 0);
  memory_.RunOutOfMemory(false);
  memory_.RunOutOfMemoryOnce(1);  // the pinned half
  EXPECT_FALSE(buffers_->Take(Bytes16{1}, [] {}).ok());
  EXPECT_TRUE(Take(1).has_value());
}

TEST_F(ChannelBuffersTest, SaysThatTheDeviceIsBroken) {
  const std::optional<ChannelBuffer> buffer = Take(1);
  memory_.Break();
  Bytes bytes(10);
  const absl::Span<std::byte> piece = absl::MakeSpan(bytes);
  EXPECT_EQ(StatusReason(buffers_->CopyIn(*buffer, bytes)), "CUDA_ERROR");
  EXPECT_EQ(StatusReason(buffers_->CopyOut({&piece, 1}, *buffer)), "CUDA_ERROR");
}

}  // namespace
}  // namespace chunkkv
