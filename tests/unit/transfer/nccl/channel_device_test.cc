#include "service/transfer/nccl/channel_device.h"

#include <gtest/gtest.h>

#include <future>

#include "service/transfer/nccl/channel.h"
#include "service/transfer/nccl/channel_status.h"
#include "service/transfer/nccl/channel_thread.h"
#include "tests/unit/transfer/nccl/channel_rig.h"

namespace chunkkv {
namespace {

using Direction = ChannelTransfer::Direction;

class ChannelDeviceTest : public ::testing::Test {
 protected:
  ChannelPtr OpenChannel() {
    rig_.unique_id = rig_.library.MakeUniqueId().value();
    return Channel::Open({}, device_, rig_.unique_id);
  }
  void Run(int times = 2) {
    for (int i = 0; i < times; ++i) pace_ = device_->RunOnce();
  }

  ChannelRig rig_;
  std::shared_ptr<ChannelDevice> device_ =
      std::make_shared<ChannelDevice>(rig_.library, rig_.clock, rig_.timeouts, rig_.MakeStreams());
  std::optional<ChannelDevice::Pace> pace_;
};

TEST_F(ChannelDeviceTest, TellsHowItsChannelsAre) {
  const ChannelPtr channel = OpenChannel();
  EXPECT_TRUE(channel->status().ok());
  Run();
  EXPECT_EQ(pace_, ChannelDevice::Pace::kWaiting);
  EXPECT_FALSE(channel->has_opened());
  rig_.peer.Join(rig_.unique_id);
  Run();
  EXPECT_EQ(pace_, ChannelDevice::Pace::kIdle);
  EXPECT_TRUE(channel->has_opened());
  channel->Close();
  EXPECT_TRUE(channel->status().ok());  // nothing is done in the caller's thread
  Run();
  EXPECT_EQ(pace_, std::nullopt);
  EXPECT_EQ(StatusReason(channel->status()), "CHANNEL_CLOSED");
  EXPECT_TRUE(channel->has_ended());
}

TEST_F(ChannelDeviceTest, StepsAllItsChannels) {
  const ChannelPtr first = OpenChannel();
  rig_.peer.Join(rig_.unique_id);
  const ChannelPtr second = OpenChannel();
  FakePeer other(rig_.library, rig_.device);
  other.Join(rig_.unique_id);
  Asked &received = rig_.Ask(Bytes(16)), &sent = rig_.Ask(Pattern(9, 2));
  first->Start(rig_.MakeTransfer(Direction::kReceive, received));
  second->Start(rig_.MakeTransfer(Direction::kSend, sent));
  Run();
  EXPECT_EQ(pace_, ChannelDevice::Pace::kMoving);
  rig_.peer.Send(Pattern(16, 1));
  Bytes got(9);
  other.Receive(got);
  Run();
  EXPECT_EQ(received.outcome(), "OK");
  EXPECT_EQ(sent.outcome(), "OK");
  EXPECT_EQ(got, Pattern(9, 2));
  // The end of one is not that of the other.
  first->Abort(PeerLost("test"));
  Run();
  EXPECT_TRUE(first->has_ended());
  EXPECT_TRUE(second->status().ok());
  device_->Finish();
}

TEST_F(ChannelDeviceTest, TransfersMayAskForOthersWhenTheyEnd) {
  const ChannelPtr channel = OpenChannel();
  rig_.peer.Join(rig_.unique_id);
  Asked &first = rig_.Ask(Bytes(8)), &second = rig_.Ask(Bytes(8));
  ChannelTransfer transfer = rig_.MakeTransfer(Direction::kReceive, first);
  transfer.done = [&, done = transfer.done](const absl::Status& status) {
    done(status);
    channel->Start(rig_.MakeTransfer(Direction::kReceive, second));
  };
  channel->Start(std::move(transfer));
  Run();
  rig_.peer.Send(Pattern(8, 1));
  Run();
  rig_.peer.Send(Pattern(8, 2));
  Run();
  EXPECT_EQ(second.outcome(), "OK");
  EXPECT_EQ(second.memory, Pattern(8, 2));
  // Also where the end is the device's.
  ChannelTransfer last = rig_.MakeTransfer(Direction::kReceive, first);
  second.ends.clear();
  last.done = [&](const absl::Status&) { channel->Start(rig_.MakeTransfer(Direction::kReceive, second)); };
  channel->Start(std::move(last));
  Run();
  device_->Finish();
  EXPECT_EQ(second.outcome(), "CHANNEL_CLOSED");
}

TEST_F(ChannelDeviceTest, TransfersOfAnEndedChannelEndAsItDid) {
  const ChannelPtr channel = OpenChannel();
  Run();
  rig_.clock.AdvanceMs(rig_.timeouts.open_ms);
  Run();
  Asked& asked = rig_.Ask(Bytes(8));
  const ChannelTransferId id = channel->Start(rig_.MakeTransfer(Direction::kReceive, asked));
  channel->SetPeerReady(id);
  channel->Cancel(id);
  channel->Close();
  channel->Abort(PeerLost("test"));
  Run();
  EXPECT_EQ(asked.outcome(), "CHANNEL_TIMEOUT");
  EXPECT_EQ(asked.ends.size(), 1u);
}

TEST_F(ChannelDeviceTest, EndsEverythingWhenItFinishes) {
  const ChannelPtr open = OpenChannel();
  rig_.peer.Join(rig_.unique_id);
  Asked &flying = rig_.Ask(Bytes(8)), &posted = rig_.Ask(Bytes(8)), &late = rig_.Ask(Bytes(8));
  open->Start(rig_.MakeTransfer(Direction::kReceive, flying));
  Run();
  open->Start(rig_.MakeTransfer(Direction::kReceive, posted));
  const ChannelPtr never_begun = OpenChannel();
  device_->Finish();
  EXPECT_EQ(flying.outcome(), "CHANNEL_CLOSED");
  EXPECT_EQ(posted.outcome(), "CHANNEL_CLOSED");
  open->Start(rig_.MakeTransfer(Direction::kReceive, late));
  EXPECT_EQ(late.outcome(), "CHANNEL_CLOSED");
  EXPECT_TRUE(open->has_ended());
  EXPECT_TRUE(never_begun->has_ended());
  const ChannelPtr too_late = OpenChannel();
  EXPECT_EQ(StatusReason(too_late->status()), "CHANNEL_CLOSED");
  EXPECT_TRUE(too_late->has_ended());
}

TEST_F(ChannelDeviceTest, OpensNothingOnceItShutsDown) {
  const ChannelPtr open = OpenChannel();
  rig_.peer.Join(rig_.unique_id);
  Run();
  device_->Shutdown();
  const ChannelPtr late = OpenChannel();
  Run(1);
  EXPECT_EQ(pace_, std::nullopt);
  EXPECT_TRUE(open->has_ended());
  EXPECT_TRUE(late->has_ended());
}

// The machine's whole life on a thread of its own; the peer is driven by its callbacks.
TEST_F(ChannelDeviceTest, AThreadIssuesEverything) {
  std::promise<absl::Status> received, aborted;
  Bytes memory(64), never(64);
  std::thread::id issuing_thread;
  const ChannelPtr channel = OpenChannel();
  // Before the thread: the fake is of one thread.
  rig_.peer.Join(rig_.unique_id);
  ChannelTransfer transfer;
  transfer.memory = memory.data();
  transfer.size_bytes = 64;
  transfer.peer_is_ready = true;
  transfer.starting = [&](int64_t) {
    issuing_thread = std::this_thread::get_id();
    rig_.peer.Send(Pattern(64, 4));
  };
  transfer.done = [&](const absl::Status& status) { received.set_value(status); };
  ChannelTransfer endless = transfer;
  endless.memory = never.data();
  endless.starting = nullptr;
  endless.done = [&](const absl::Status& status) { aborted.set_value(status); };
  {
    const ChannelThread thread(device_);
    channel->Start(std::move(transfer));
    EXPECT_TRUE(received.get_future().get().ok());
    EXPECT_EQ(memory, Pattern(64, 4));
    EXPECT_NE(issuing_thread, std::this_thread::get_id());
    channel->Start(std::move(endless));
  }
  EXPECT_EQ(StatusReason(aborted.get_future().get()), "CHANNEL_CLOSED");
  EXPECT_TRUE(channel->has_ended());
}

}  // namespace
}  // namespace chunkkv
