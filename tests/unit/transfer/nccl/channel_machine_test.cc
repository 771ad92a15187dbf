#include "service/transfer/nccl/channel_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/transfer/nccl/channel_machine_fixture.h"

namespace chunkkv {
namespace {

using ::testing::ElementsAre;
using Direction = ChannelTransfer::Direction;
using State = ChannelMachine::State;
using Call = FakeNccl::Call;

class ChannelMachineTest : public ChannelMachineFixture {};

TEST_F(ChannelMachineTest, OpensOnceThePeerHasCome) {
  Begin();
  for (int i = 0; i < 3; ++i) StepAfterMs(1'000);
  EXPECT_EQ(machine_->state(), State::kOpening);
  EXPECT_FALSE(machine_->has_opened());
  rig_.peer.Join(rig_.unique_id);
  Step();
  EXPECT_EQ(machine_->state(), State::kOpen);
  EXPECT_TRUE(machine_->has_opened());
  EXPECT_TRUE(machine_->status().ok());
}

TEST_F(ChannelMachineTest, EndsWhereThePeerNeverComes) {
  Begin();
  Asked& asked = rig_.Ask(Pattern(8, 1));
  Add(1, Direction::kSend, asked);
  StepAfterMs(rig_.timeouts.open_ms - 1);
  EXPECT_EQ(machine_->state(), State::kOpening);
  EXPECT_EQ(asked.outcome(), "");
  StepAfterMs(1);
  EXPECT_EQ(machine_->state(), State::kEnded);
  EXPECT_EQ(machine_->status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(status(), "CHANNEL_TIMEOUT");
  EXPECT_EQ(asked.outcome(), "CHANNEL_TIMEOUT");
  EXPECT_THAT(rig_.library.calls(), ElementsAre("begin", "abort"));
  EXPECT_FALSE(machine_->has_opened());
}

TEST_F(ChannelMachineTest, NoticesADeadPeerAlsoWhereNothingMoves) {
  Open();
  rig_.peer.Die();
  Step();
  EXPECT_EQ(machine_->state(), State::kEnded);
  EXPECT_EQ(status(), "PEER_LOST");
}

TEST_F(ChannelMachineTest, ClosesInOrder) {
  Open();
  Asked &flying = rig_.Ask(Bytes(8)), &queued = rig_.Ask(Bytes(8)), &late = rig_.Ask(Bytes(8));
  Add(1, Direction::kReceive, flying);
  Step();
  Add(2, Direction::kReceive, queued);
  Close();
  Close();
  EXPECT_EQ(queued.outcome(), "CHANNEL_CLOSED");
  Add(3, Direction::kReceive, late);
  EXPECT_EQ(late.outcome(), "CHANNEL_CLOSED");
  Step();
  EXPECT_EQ(machine_->state(), State::kClosing);
  rig_.library.HoldFinalizing(true);
  rig_.peer.Send(Pattern(8, 1));
  Step();
  EXPECT_EQ(flying.outcome(), "OK");
  EXPECT_EQ(machine_->state(), State::kClosing);
  rig_.library.HoldFinalizing(false);
  Step();
  EXPECT_EQ(machine_->state(), State::kEnded);
  EXPECT_THAT(rig_.library.calls(), ElementsAre("begin", "receive", "finalize", "destroy"));
}

TEST_F(ChannelMachineTest, AbortsWhereClosingTakesTooLong) {
  for (const bool while_finalizing : {false, true}) {
    SCOPED_TRACE(while_finalizing);
    rig_.unique_id = rig_.library.MakeUniqueId().value();
    rig_.peer.Die();
    Open();
    Asked& flying = rig_.Ask(Bytes(8));
    if (!while_finalizing) Add(1, Direction::kReceive, flying);
    Step();
    rig_.library.HoldFinalizing(true);
    Close();
    StepAfterMs(rig_.timeouts.close_ms - 1);
    EXPECT_EQ(machine_->state(), State::kClosing);
    StepAfterMs(1);
    EXPECT_EQ(machine_->state(), State::kEnded);
    EXPECT_EQ(flying.outcome(), while_finalizing ? "" : "CHANNEL_CLOSED");
  }
  EXPECT_EQ(rig_.library.Count("abort"), 2);
}

TEST_F(ChannelMachineTest, ClosesWhileOpening) {
  Begin();
  Close();
  EXPECT_EQ(machine_->state(), State::kEnded);
  EXPECT_THAT(rig_.library.calls(), ElementsAre("begin", "abort"));
}

TEST_F(ChannelMachineTest, ClosesWhatNobodyUses) {
  Open();
  Asked& asked = rig_.Ask(Bytes(8));
  StepAfterMs(rig_.timeouts.idle_ms - 1);
  Add(1, Direction::kReceive, asked);
  StepAfterMs(1);
  EXPECT_EQ(machine_->state(), State::kOpen);
  rig_.peer.Send(Pattern(8, 1));
  Step();
  EXPECT_EQ(asked.outcome(), "OK");
  StepAfterMs(rig_.timeouts.idle_ms - 1);
  EXPECT_EQ(machine_->state(), State::kOpen);
  // Waiting is use, however it ends.
  Add(2, Direction::kReceive, asked, false);
  StepAfterMs(rig_.timeouts.idle_ms);
  Cancel(2);
  StepAfterMs(rig_.timeouts.idle_ms - 1);
  EXPECT_EQ(machine_->state(), State::kOpen);
  StepAfterMs(1);
  Step();
  EXPECT_EQ(machine_->state(), State::kEnded);
  EXPECT_EQ(status(), "CHANNEL_CLOSED");
}

TEST_F(ChannelMachineTest, WaitsForTheDeviceToComeToTheEndOfWhatWasAborted) {
  Open();
  rig_.device.is_stuck = true;
  Asked& asked = rig_.Ask(Bytes(8));
  Add(1, Direction::kReceive, asked);
  Step();
  machine_->Abort(PeerLost("test"));
  RunCalls();
  EXPECT_EQ(machine_->state(), State::kAborting);
  StepAfterMs(rig_.timeouts.abort_ms - 1);
  EXPECT_EQ(asked.outcome(), "");
  machine_->Abort(ChannelClosed("again"));
  Cancel(1);
  EXPECT_EQ(asked.outcome(), "");
  StepAfterMs(1);
  EXPECT_EQ(asked.outcome(), "DEVICE_STUCK");
  EXPECT_EQ(machine_->state(), State::kEnded);
  EXPECT_EQ(status(), "PEER_LOST");
}

TEST_F(ChannelMachineTest, ADeviceThatFailsHasComeToTheEnd) {
  Open();
  rig_.device.is_stuck = true;
  Asked& asked = rig_.Ask(Bytes(8));
  Add(1, Direction::kReceive, asked);
  Step();
  machine_->Abort(PeerLost("test"));
  Step();
  EXPECT_EQ(machine_->state(), State::kAborting);
  rig_.device.is_broken = true;
  Step();
  ASSERT_EQ(asked.ends.size(), 1u);
  EXPECT_EQ(machine_->state(), State::kEnded);
}

TEST_F(ChannelMachineTest, EndsWithItsDevice) {
  Open();
  Asked& asked = rig_.Ask(Bytes(8));
  Add(1, Direction::kReceive, asked);
  Step();
  rig_.device.is_broken = true;
  Step();
  EXPECT_EQ(status(), "CUDA_ERROR");
  EXPECT_EQ(machine_->state(), State::kEnded);
  ASSERT_EQ(asked.ends.size(), 1u);
}

TEST_F(ChannelMachineTest, OpensAgainAfterAnAbort) {
  Open();
  machine_->Abort(PeerLost("test"));
  rig_.peer.Die();
  rig_.unique_id = rig_.library.MakeUniqueId().value();
  Open();
  Asked& asked = rig_.Ask(Bytes(8));
  Add(1, Direction::kReceive, asked);
  Step();
  EXPECT_EQ(asked.sequence, 0);
  rig_.peer.Send(Pattern(8, 9));
  Step();
  EXPECT_EQ(asked.outcome(), "OK");
}

// One failure at each call.
TEST_F(ChannelMachineTest, EndsWhereNcclFails) {
  const absl::Status failure = ErrorStatus(absl::StatusCode::kInternal, "NCCL_ERROR", "test");
  for (const Call call :
       {Call::kBegin, Call::kPoll, Call::kSend, Call::kReceive, Call::kFinalize, Call::kAbort, Call::kDestroy}) {
    SCOPED_TRACE(static_cast<int>(call));
    rig_.unique_id = rig_.library.MakeUniqueId().value();
    rig_.peer.Die();
    Asked &sent = rig_.Ask(Bytes(8)), &received = rig_.Ask(Bytes(8));
    const bool while_opening = call == Call::kBegin || call == Call::kPoll;
    if (while_opening) {
      rig_.library.FailNext(call, failure);
      Begin();
      Step();
      EXPECT_EQ(status(), "NCCL_ERROR");
    } else {
      Open();
      rig_.library.FailNext(call, failure);
      Add(1, Direction::kSend, sent);
      Add(2, Direction::kReceive, received);
      Step();
      machine_->Close(ChannelClosed("test"));
      StepAfterMs(rig_.timeouts.close_ms);
      StepAfterMs(rig_.timeouts.close_ms);
      RunCalls();
      EXPECT_EQ(sent.ends.size(), 1u);
      EXPECT_EQ(received.ends.size(), 1u);
    }
    EXPECT_EQ(machine_->state(), State::kEnded);
  }
}

}  // namespace
}  // namespace chunkkv
