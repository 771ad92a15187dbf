// Whatever happens to a channel, and whenever: each transfer ends once, nothing touches its memory after that, and
// nothing is left of the communicator. The fakes hold it to NCCL's rules meanwhile.
#include <gtest/gtest.h>

#include <deque>
#include <functional>

#include "service/transfer/nccl/channel_machine.h"
#include "service/transfer/nccl/channel_status.h"
#include "tests/unit/transfer/nccl/channel_rig.h"

namespace chunkkv {
namespace {

using Direction = ChannelTransfer::Direction;
using State = ChannelMachine::State;

// A life of a channel with everything in it; after each step of it a test may interfere.
class Life {
 public:
  ~Life() { End(); }

  // False where the script is over.
  bool Advance() {
    const std::vector<std::function<void()>> script = {
        [this] { machine_->Begin(rig_.unique_id, rig_.MakeStreams()); },
        [this] { Add(Direction::kReceive, true); },
        [this] { machine_->Step(); },  // opening
        [this] { rig_.peer.Join(rig_.unique_id); },
        [this] { machine_->Step(); },  // open, the first in flight
        [this] { Add(Direction::kSend, true); },
        [this] { Add(Direction::kReceive, false); },
        [this] { rig_.library.HoldIssuing(true); },
        [this] { machine_->Step(); },  // the second on its way to the stream
        [this] { rig_.library.HoldIssuing(false); },
        [this] { machine_->Step(); },  // both on the stream
        [this] { PeerTakesPart(); },
        [this] { machine_->Step(); },  // the first has arrived
        [this] { PeerTakesPart(); },
        [this] { machine_->Step(); },
        [this] { machine_->SetPeerReady(3); },
        [this] { machine_->Step(); },
        [this] { machine_->Close(ChannelClosed("the script")); },
        [this] { PeerTakesPart(); },
        [this] { rig_.library.HoldFinalizing(true); },
        [this] { machine_->Step(); },  // finalizing
        [this] { rig_.library.HoldFinalizing(false); },
        [this] { machine_->Step(); },  // ended
    };
    if (at_ == script.size()) return false;
    script[at_++]();
    RunCalls();
    return true;
  }

  // What may happen at any time.
  static constexpr int kInterruptions = 9;
  void Interrupt(int which) {
    switch (which) {
      case 0:
        return machine_->Cancel(1);
      case 1:
        return machine_->Cancel(2);
      case 2:
        return machine_->Cancel(3);
      case 3:
        return machine_->Close(ChannelClosed("an interruption"));
      case 4:
        return machine_->Abort(PeerLost("an interruption"));
      case 5:
        return rig_.peer.Die();
      case 6:
        rig_.device.is_broken = true;
        return;
      case 7:
        rig_.device.is_stuck = true;
        return machine_->Abort(PeerLost("an interruption"));
      case 8:
        return rig_.clock.AdvanceMs(5'000);
    }
  }

  // Ends by time alone, whatever state it is in.
  void RunOut() {
    for (int i = 0; i < 4 && machine_->state() != State::kEnded; ++i) {
      rig_.clock.AdvanceMs(rig_.timeouts.idle_ms);
      machine_->Step();
      RunCalls();
    }
    EXPECT_EQ(machine_->state(), State::kEnded);
  }

  void End() {
    machine_ = nullptr;
    rig_.peer.Die();
    EXPECT_EQ(rig_.library.live_comm_count(), 0);
    EXPECT_EQ(rig_.device.stream_count, 1);  // the peer's
    for (const Asked& asked : rig_.asked) {
      EXPECT_EQ(asked.ends.size(), 1u);
      for (const absl::Status& end : asked.ends) EXPECT_NE(end.message(), "ended, and its memory is still touched");
    }
  }

  void RunCalls() {
    for (const auto& call : machine_->TakeCalls()) call();
  }

  const std::deque<Asked>& asked() const { return rig_.asked; }
  bool HasBegun() const { return at_ > 0; }

 private:
  void Add(Direction direction, bool peer_is_ready) {
    ChannelTransfer transfer = rig_.MakeTransfer(direction, rig_.Ask(Bytes(16)), peer_is_ready);
    transfer.starting = [this, direction](int64_t) { told_.push_back(direction); };
    machine_->Add(rig_.asked.size(), std::move(transfer));
  }
  // In the next transfer that it was told of, unless it has died, or learnt that the channel has.
  void PeerTakesPart() {
    if (told_.empty() || !rig_.peer.HasJoined() || !rig_.peer.Look().ok()) return;
    if (told_.front() == Direction::kReceive) {
      rig_.peer.Send(given_);
    } else {
      rig_.peer.Receive(got_);
    }
    told_.pop_front();
  }

  ChannelRig rig_;
  std::deque<Direction> told_;
  const Bytes given_ = Pattern(16, 5);
  Bytes got_ = Bytes(16);
  size_t at_ = 0;
  std::unique_ptr<ChannelMachine> machine_ = std::make_unique<ChannelMachine>(rig_.library, rig_.clock, rig_.timeouts);
};

int StepCount() {
  Life life;
  int steps = 0;
  while (life.Advance()) ++steps;
  return steps;
}

TEST(ChannelInterruptionTest, UndisturbedEverythingArrives) {
  Life life;
  while (life.Advance()) continue;
  ASSERT_EQ(life.asked().size(), 3u);
  EXPECT_EQ(life.asked()[0].outcome(), "OK");
  EXPECT_EQ(life.asked()[1].outcome(), "OK");
}

TEST(ChannelInterruptionTest, AnythingMayHappenAfterAnyStep) {
  const int steps = StepCount();
  for (int which = 0; which < Life::kInterruptions; ++which) {
    for (int at = 1; at <= steps; ++at) {
      SCOPED_TRACE(testing::Message() << "interruption " << which << " after step " << at);
      Life life;
      for (int i = 0; i < at; ++i) life.Advance();
      life.Interrupt(which);
      life.RunCalls();
      while (life.Advance()) continue;
      life.RunOut();
    }
  }
}

TEST(ChannelInterruptionTest, ItMayBeDestroyedAfterAnyStep) {
  const int steps = StepCount();
  for (int which = -1; which < Life::kInterruptions; ++which) {
    for (int at = 0; at <= steps; ++at) {
      SCOPED_TRACE(testing::Message() << "interruption " << which << ", destroyed after step " << at);
      Life life;
      for (int i = 0; i < at; ++i) life.Advance();
      if (which >= 0 && life.HasBegun()) life.Interrupt(which);
    }
  }
}

}  // namespace
}  // namespace chunkkv
