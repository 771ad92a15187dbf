#include <gtest/gtest.h>

#include "tests/unit/transfer/nccl/channel_machine_fixture.h"

namespace chunkkv {
namespace {

using Direction = ChannelTransfer::Direction;
using State = ChannelMachine::State;

class ChannelTransferTest : public ChannelMachineFixture {};

TEST_F(ChannelTransferTest, MovesBytesBothWays) {
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

TEST_F(ChannelTransferTest, KeepsWhatWasAskedForBeforeItOpened) {
  Begin();
  Asked& asked = rig_.Ask(Pattern(8, 1));
  Add(1, Direction::kSend, asked);
  Step();
  EXPECT_FALSE(asked.sequence.has_value());
  rig_.peer.Join(rig_.unique_id);
  Step();
  EXPECT_EQ(asked.sequence, 0);
}

TEST_F(ChannelTransferTest, AsksTheDeviceForNothingBeforeThePeerIsReady) {
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

TEST_F(ChannelTransferTest, HasTwoInFlightAtTheMostAndOneOnItsWayToTheStream) {
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

TEST_F(ChannelTransferTest, EndsATransferThatTakesTooLongAndWithItTheChannel) {
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

TEST_F(ChannelTransferTest, GivesLargeTransfersAndThoseBehindOthersMoreTime) {
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

TEST_F(ChannelTransferTest, HoldsToTheDeadlinesOfItsCallers) {
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

TEST_F(ChannelTransferTest, HoldsToDeadlinesWhileOpening) {
  Begin();
  Asked& asked = rig_.Ask(Bytes(8));
  Add(1, Direction::kReceive, asked, true, rig_.clock.MonotonicMs() + 5);
  StepAfterMs(5);
  EXPECT_EQ(asked.outcome(), "TRANSFER_TIMEOUT");
  EXPECT_EQ(machine_->state(), State::kOpening);
}

TEST_F(ChannelTransferTest, CancelsWhatHasNotStartedForNothing) {
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

TEST_F(ChannelTransferTest, AbortsWhereATransferInFlightIsCancelled) {
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

TEST_F(ChannelTransferTest, DoesNotAbortForWhatHasArrived) {
  Open();
  Asked& asked = rig_.Ask(Bytes(8));
  Add(1, Direction::kReceive, asked);
  Step();
  rig_.peer.Send(Pattern(8, 3));
  Cancel(1);  // nobody has looked yet
  EXPECT_EQ(asked.outcome(), "OK");
  EXPECT_EQ(machine_->state(), State::kOpen);
}

TEST_F(ChannelTransferTest, AnAbortLeavesWhatHasArrived) {
  Open();
  Asked &asked = rig_.Ask(Bytes(8)), &next = rig_.Ask(Bytes(8));
  Add(1, Direction::kReceive, asked);
  Add(2, Direction::kReceive, next);
  Step();
  rig_.peer.Send(Pattern(8, 3));
  machine_->Abort(PeerLost("test"));
  RunCalls();
  EXPECT_EQ(asked.outcome(), "OK");
  EXPECT_EQ(next.outcome(), "PEER_LOST");
}

TEST_F(ChannelTransferTest, WhatArrivedBeforeThePeerDiedHasArrived) {
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

TEST_F(ChannelTransferTest, NoticesASilentPeerWithinFiveSeconds) {
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

}  // namespace
}  // namespace chunkkv
