#ifndef CHUNKKV_TESTS_UNIT_TRANSFER_NCCL_CHANNEL_MACHINE_FIXTURE_H_
#define CHUNKKV_TESTS_UNIT_TRANSFER_NCCL_CHANNEL_MACHINE_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "service/transfer/nccl/channel_machine.h"
#include "service/transfer/nccl/channel_status.h"
#include "tests/unit/transfer/nccl/channel_rig.h"

namespace chunkkv {

// A machine with its peer, clock and device.
class ChannelMachineFixture : public ::testing::Test {
 protected:
  ~ChannelMachineFixture() override {
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
    ASSERT_EQ(machine_->state(), ChannelMachine::State::kOpen);
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
  void Add(ChannelTransferId id, ChannelTransfer::Direction direction, Asked& asked, bool peer_is_ready = true,
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

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_UNIT_TRANSFER_NCCL_CHANNEL_MACHINE_FIXTURE_H_
