#include "service/transfer/nccl/channel_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "service/transfer/nccl/channel_status.h"
#include "tests/unit/transfer/nccl/channel_rig.h"

namespace chunkkv {
namespace {

using ::testing::ElementsAre;
using Direction = ChannelTransfer::Direction;
using State = ChannelMachine::State;
using Call = FakeNccl::Call;

class ChannelMachineTest : public ::testing::Test {
 protected:
  ~ChannelMachineTest() override {
    machine_ = nullptr;
    EXPECT_EQ(rig_.device.stream_count, 1) << "streams that nobody ended, beside the peer's";
  }

  void Begin() {
    machine_ = std::make_unique<ChannelMachine>(rig_.library, rig_.clock, rig_.timeouts);
    machine_->Begin(rig_.unique_id, rig_.MakeStreams());
    RunCalls();
  }
  void Open() {
    Begin();
    rig_.peer.Join(rig_.unique_id);
    Step();
    ASSERT_EQ(machine_->state(), State::kOpen);
  }
  void RunCalls() {
    for (const auto& call : machine_->TakeCalls()) call();
  }
  void Step() {
    machine_->Step();
    RunCalls();
  }
  void StepAfterMs(int64_t ms) {
    rig_.clock.AdvanceMs(ms);
    Step();
  }
  void Add(ChannelTransferId id, Direction direction, Asked& asked, bool peer_is_ready = true,
           int64_t deadline_ms = INT64_MAX) {
    ChannelTransfer transfer = rig_.MakeTransfer(direction, asked, peer_is_ready);
    transfer.deadline_ms = deadline_ms;
    machine_->Add(id, std::move(transfer));
    RunCalls();
  }
  void Cancel(ChannelTransferId id) {
    machine_->Cancel(id);
    RunCalls();
  }
  void Close() {
    machine_->Close(ChannelClosed("test"));
    RunCalls();
  }
  std::string status() const { return StatusReason(machine_->status()); }

  ChannelRig rig_;
  std::unique_ptr<ChannelMachine> machine_;
};

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

TEST_F(ChannelMachineTest, MovesBytesBothWays) {
  Open();
  Asked &sent = rig_.Ask(Pattern(1023, 1)), &received = rig_.Ask(Bytes(777));
  Add(1, Direction::kSend, sent);
  Add(2, Direction::kReceive, received);
  Step();
  EXPECT_EQ(sent.sequence, 0);
  EXPECT_EQ(received.sequence, 1);
  EXPECT_EQ(machine_->pace(), ChannelMachine::Pace::kMoving);
  Bytes got(1023);
  const Bytes given = Pattern(777, 2);
  rig_.peer.Receive(got);
  Step();
  EXPECT_EQ(sent.outcome(), "OK");
  EXPECT_EQ(got, Pattern(1023, 1));
  EXPECT_EQ(received.outcome(), "");
  rig_.peer.Send(given);
  Step();
  EXPECT_EQ(received.outcome(), "OK");
  EXPECT_EQ(received.memory, given);
  EXPECT_EQ(machine_->pace(), ChannelMachine::Pace::kIdle);
}

TEST_F(ChannelMachineTest, KeepsWhatWasAskedForBeforeItOpened) {
  Begin();
  Asked& asked = rig_.Ask(Pattern(8, 1));
  Add(1, Direction::kSend, asked);
  Step();
  EXPECT_FALSE(asked.sequence.has_value());
  rig_.peer.Join(rig_.unique_id);
  Step();
  EXPECT_EQ(asked.sequence, 0);
}

TEST_F(ChannelMachineTest, AsksTheDeviceForNothingBeforeThePeerIsReady) {
  Open();
  Asked &first = rig_.Ask(Bytes(8)), &second = rig_.Ask(Bytes(8)), &third = rig_.Ask(Bytes(8));
  Add(1, Direction::kReceive, first, false);
  Add(2, Direction::kReceive, second, true);
  Add(3, Direction::kReceive, third, false);
  Step();
  // Sequences are of what the device does: who is not ready holds up nobody.
  EXPECT_EQ(second.sequence, 0);
  EXPECT_FALSE(first.sequence.has_value());
  EXPECT_EQ(rig_.library.Count("receive"), 1);
  machine_->SetPeerReady(3);
  machine_->SetPeerReady(1);
  machine_->SetPeerReady(99);
  Step();
  EXPECT_EQ(first.sequence, 1);
  EXPECT_FALSE(third.sequence.has_value());  // two are in flight
  rig_.peer.Send(Pattern(8, 1));
  Step();
  EXPECT_EQ(second.outcome(), "OK");
  EXPECT_EQ(third.sequence, 2);
}

TEST_F(ChannelMachineTest, HasTwoInFlightAtTheMostAndOneOnItsWayToTheStream) {
  Open();
  rig_.library.HoldIssuing(true);
  for (int i = 0; i < 4; ++i) Add(i + 1, Direction::kReceive, rig_.Ask(Bytes(8)));
  for (int i = 0; i < 3; ++i) Step();
  EXPECT_EQ(rig_.library.Count("receive"), 1);
  rig_.library.HoldIssuing(false);
  for (int i = 0; i < 3; ++i) Step();
  EXPECT_EQ(rig_.library.Count("receive"), 2);
  for (int i = 0; i < 4; ++i) {
    rig_.peer.Send(Pattern(8, i));
    Step();
    EXPECT_EQ(rig_.asked[i].outcome(), "OK");
    EXPECT_EQ(rig_.asked[i].sequence, i);
    EXPECT_EQ(rig_.asked[i].memory, Pattern(8, i));
  }
}

TEST_F(ChannelMachineTest, EndsATransferThatTakesTooLongAndWithItTheChannel) {
  Open();
  Asked &late = rig_.Ask(Bytes(8)), &behind = rig_.Ask(Bytes(8)), &queued = rig_.Ask(Bytes(8));
  Add(1, Direction::kReceive, late);
  Add(2, Direction::kReceive, behind);
  Add(3, Direction::kReceive, queued, false);
  Step();
  StepAfterMs(rig_.timeouts.transfer_ms - 1);
  EXPECT_EQ(late.outcome(), "");
  StepAfterMs(1);
  EXPECT_EQ(late.outcome(), "TRANSFER_TIMEOUT");
  EXPECT_EQ(late.ends.front().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(behind.outcome(), "CHANNEL_CLOSED");
  EXPECT_EQ(queued.outcome(), "CHANNEL_CLOSED");
  EXPECT_EQ(machine_->state(), State::kEnded);
  EXPECT_EQ(rig_.library.Count("abort"), 1);
  EXPECT_EQ(StatusReason(rig_.peer.Look()), "PEER_LOST");
}

TEST_F(ChannelMachineTest, GivesLargeTransfersAndThoseBehindOthersMoreTime) {
  rig_.timeouts.transfer_ms = 10;
  rig_.timeouts.slowest_bytes_per_ms = 100;
  Open();
  Asked &large = rig_.Ask(Bytes(2'000)), &behind = rig_.Ask(Bytes(8));  // 30 ms, and 10 more
  Add(1, Direction::kReceive, large);
  Add(2, Direction::kReceive, behind);
  Step();
  StepAfterMs(29);
  EXPECT_EQ(large.outcome(), "");
  rig_.peer.Send(Pattern(2'000, 1));
  StepAfterMs(10);
  EXPECT_EQ(large.outcome(), "OK");
  EXPECT_EQ(behind.outcome(), "");
  StepAfterMs(1);
  EXPECT_EQ(behind.outcome(), "TRANSFER_TIMEOUT");
}

TEST_F(ChannelMachineTest, HoldsToTheDeadlinesOfItsCallers) {
  Open();
  Asked &queued = rig_.Ask(Bytes(8)), &flying = rig_.Ask(Bytes(8));
  const int64_t deadline_ms = rig_.clock.MonotonicMs() + 100;
  Add(1, Direction::kReceive, queued, false, deadline_ms);
  Add(2, Direction::kReceive, flying, true, deadline_ms + 100);
  Step();
  StepAfterMs(99);
  EXPECT_EQ(queued.outcome(), "");
  StepAfterMs(1);
  EXPECT_EQ(queued.outcome(), "TRANSFER_TIMEOUT");
  EXPECT_EQ(machine_->state(), State::kOpen);  // nothing had started
  StepAfterMs(100);
  EXPECT_EQ(flying.outcome(), "TRANSFER_TIMEOUT");
  EXPECT_EQ(machine_->state(), State::kEnded);
}

TEST_F(ChannelMachineTest, HoldsToDeadlinesWhileOpening) {
  Begin();
  Asked& asked = rig_.Ask(Bytes(8));
  Add(1, Direction::kReceive, asked, true, rig_.clock.MonotonicMs() + 5);
  StepAfterMs(5);
  EXPECT_EQ(asked.outcome(), "TRANSFER_TIMEOUT");
  EXPECT_EQ(machine_->state(), State::kOpening);
}

TEST_F(ChannelMachineTest, CancelsWhatHasNotStartedForNothing) {
  Open();
  Asked &queued = rig_.Ask(Bytes(8)), &after = rig_.Ask(Bytes(8));
  Add(1, Direction::kReceive, queued, false);
  Cancel(1);
  EXPECT_EQ(queued.outcome(), "TRANSFER_CANCELLED");
  EXPECT_EQ(queued.ends.front().code(), absl::StatusCode::kCancelled);
  Cancel(1);
  Cancel(77);
  Add(2, Direction::kReceive, after);
  Step();
  rig_.peer.Send(Pattern(8, 3));
  Step();
  EXPECT_EQ(after.outcome(), "OK");
  EXPECT_EQ(after.sequence, 0);
  EXPECT_EQ(queued.ends.size(), 1u);
}

TEST_F(ChannelMachineTest, AbortsWhereATransferInFlightIsCancelled) {
  Open();
  Asked &flying = rig_.Ask(Bytes(8)), &behind = rig_.Ask(Bytes(8));
  Add(1, Direction::kReceive, flying);
  Add(2, Direction::kReceive, behind);
  Step();
  Cancel(2);
  EXPECT_EQ(flying.outcome(), "CHANNEL_CLOSED");
  EXPECT_EQ(behind.outcome(), "TRANSFER_CANCELLED");
  EXPECT_EQ(status(), "CHANNEL_CLOSED");
  EXPECT_EQ(StatusReason(rig_.peer.Look()), "PEER_LOST");
  Asked& late = rig_.Ask(Bytes(8));
  Add(3, Direction::kReceive, late);
  EXPECT_EQ(late.outcome(), "CHANNEL_CLOSED");
}

TEST_F(ChannelMachineTest, DoesNotAbortForWhatHasArrived) {
  Open();
  Asked& asked = rig_.Ask(Bytes(8));
  Add(1, Direction::kReceive, asked);
  Step();
  rig_.peer.Send(Pattern(8, 3));
  Cancel(1);  // nobody has looked yet
  EXPECT_EQ(asked.outcome(), "OK");
  EXPECT_EQ(machine_->state(), State::kOpen);
}

TEST_F(ChannelMachineTest, WhatArrivedBeforeThePeerDiedHasArrived) {
  Open();
  Asked &asked = rig_.Ask(Bytes(8)), &next = rig_.Ask(Bytes(8));
  Add(1, Direction::kReceive, asked);
  Add(2, Direction::kReceive, next);
  Step();
  rig_.peer.Send(Pattern(8, 3));
  rig_.peer.Die();
  Step();
  EXPECT_EQ(asked.outcome(), "OK");
  EXPECT_EQ(next.outcome(), "PEER_LOST");
  EXPECT_EQ(next.ends.front().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(machine_->state(), State::kEnded);
}

TEST_F(ChannelMachineTest, NoticesADeadPeerAlsoWhereNothingMoves) {
  Open();
  rig_.peer.Die();
  Step();
  EXPECT_EQ(machine_->state(), State::kEnded);
  EXPECT_EQ(status(), "PEER_LOST");
}

TEST_F(ChannelMachineTest, NoticesASilentPeerWithinFiveSeconds) {
  rig_.library.TellOfLostPeers(false);
  Open();
  Asked& asked = rig_.Ask(Bytes(8));
  Add(1, Direction::kReceive, asked);
  Step();
  rig_.peer.Die();
  StepAfterMs(5'000);
  EXPECT_EQ(asked.outcome(), "TRANSFER_TIMEOUT");
  EXPECT_EQ(machine_->state(), State::kEnded);
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
