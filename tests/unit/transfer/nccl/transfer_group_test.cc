#include "service/transfer/nccl/transfer_group.h"

#include <gtest/gtest.h>

#include <memory>

#include "tests/unit/transfer/nccl/channel_rig.h"

namespace chunkkv {
namespace {

using Direction = ChannelTransfer::Direction;

class TransferGroupTest : public ::testing::Test {
 protected:
  TransferGroupTest() {
    rig_.peer.Join(rig_.unique_id);
    Run();
  }
  ~TransferGroupTest() override { device_->Finish(); }

  void Run() {
    for (int i = 0; i < 3; ++i) device_->RunOnce();
  }
  Asked& Receive(TransferGroup& group, bool peer_is_ready = true) {
    Asked& asked = rig_.Ask(Bytes(8));
    group.Start(channel_, rig_.MakeTransfer(Direction::kReceive, asked, peer_is_ready));
    return asked;
  }

  const Bytes sent_ = Pattern(8, 1);
  ChannelRig rig_;
  std::shared_ptr<ChannelDevice> device_ =
      std::make_shared<ChannelDevice>(rig_.library, rig_.clock, rig_.timeouts, rig_.MakeStreams());
  ChannelPtr channel_ = Channel::Open({.id = {}, .tenant = "a"}, device_, rig_.unique_id);
  std::shared_ptr<TransferGroup> group_ = std::make_shared<TransferGroup>();
};

TEST_F(TransferGroupTest, CancelsWhatHasNotEnded) {
  const Asked& ended = Receive(*group_);
  rig_.peer.Send(sent_);
  Run();
  EXPECT_EQ(ended.outcome(), "OK");
  const Asked& queued = Receive(*group_, /*peer_is_ready=*/false);
  group_->CancelAll();
  Run();
  EXPECT_EQ(queued.outcome(), "TRANSFER_CANCELLED");
  EXPECT_EQ(ended.ends.size(), 1u);
  EXPECT_TRUE(channel_->status().ok());
}

TEST_F(TransferGroupTest, CancelsWhatStartsLater) {
  group_->CancelAll();
  const Asked& late = Receive(*group_, /*peer_is_ready=*/false);
  Run();
  EXPECT_EQ(late.outcome(), "TRANSFER_CANCELLED");
}

TEST_F(TransferGroupTest, LeavesTheTransfersOfOthersAlone) {
  const auto other = std::make_shared<TransferGroup>();
  const Asked& of_other = Receive(*other, /*peer_is_ready=*/false);
  Receive(*group_, /*peer_is_ready=*/false);
  group_->CancelAll();
  Run();
  EXPECT_EQ(of_other.outcome(), "");
}

TEST_F(TransferGroupTest, MayBeGoneBeforeItsTransfersEnd) {
  const Asked& asked = Receive(*group_);
  group_ = nullptr;
  rig_.peer.Send(sent_);
  Run();
  EXPECT_EQ(asked.outcome(), "OK");
  EXPECT_EQ(asked.memory, sent_);
}

}  // namespace
}  // namespace chunkkv
