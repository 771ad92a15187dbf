// One communicator of two ranks from its begin to its end, step by step.
//
//   opening ──▸ open ──▸ closing ──▸ ended
//      └──────────┴─────────┴──▸ aborting ─┘
//
// Of the issuing thread alone; nothing waits but NcclLibrary::Abort. What others are to be told is collected, and told
// by TakeCalls' caller, so that they may call back.
#ifndef CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_MACHINE_H_
#define CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_MACHINE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "chunkkv/kernels/device_stream.h"
#include "service/base/clock.h"
#include "service/transfer/nccl/channel_timeouts.h"
#include "service/transfer/nccl/channel_transfer.h"
#include "service/transfer/nccl/nccl_library.h"

namespace chunkkv {

using StreamMaker = std::function<absl::StatusOr<std::unique_ptr<DeviceStream>>()>;

class ChannelMachine {
 public:
  enum class State { kOpening, kOpen, kClosing, kAborting, kEnded };

  // Operations on the stream at once: the second is there when the first ends.
  static constexpr size_t kMostInFlight = 2;

  // All three must outlive the machine.
  ChannelMachine(NcclLibrary& library, const Clock& clock, const ChannelTimeouts& timeouts)
      : library_(library), clock_(clock), timeouts_(timeouts) {}
  // Aborts what has not ended; transfers that the device has not come to the end of are DEVICE_STUCK.
  ~ChannelMachine();
  ChannelMachine(const ChannelMachine&) = delete;
  ChannelMachine& operator=(const ChannelMachine&) = delete;

  // Once, first: begins to open as rank 0 of 2.
  void Begin(const NcclUniqueId& id, const StreamMaker& make_stream);

  void Add(ChannelTransferId id, ChannelTransfer transfer);
  // No effect on a transfer that has ended, nor on an id that never was.
  void SetPeerReady(ChannelTransferId id);
  // Of a transfer in flight it aborts the channel: NCCL has no other way.
  void Cancel(ChannelTransferId id);

  // Nothing more starts; what is in flight may end. `why`, not OK, is what the queued ones end with.
  void Close(const absl::Status& why);
  // Everything ends with `why`, which is not OK.
  void Abort(const absl::Status& why);

  // Looks at everything once.
  void Step();

  State state() const { return state_; }
  // How soon Step is to be called again: kMoving while bytes are, kWaiting while opening or ending, else kIdle.
  enum class Pace { kIdle, kWaiting, kMoving };
  Pace pace() const;
  // Whether the peer ever came.
  bool has_opened() const { return has_opened_; }
  // OK while opening or open; then why not any more.
  const absl::Status& status() const { return status_; }

  std::vector<std::function<void()>> TakeCalls();

 private:
  struct Queued {
    ChannelTransferId id = 0;
    ChannelTransfer transfer;
  };
  struct Flight {
    ChannelTransferId id = 0;
    ChannelTransfer transfer;
    int64_t sequence = 0;
    int64_t deadline_ms = 0;
    std::optional<DeviceStream::Mark> mark;  // none until it is on the stream
    absl::Status outcome;                    // while aborting
  };

  absl::Status BeginOn(const NcclUniqueId& id, const StreamMaker& make_stream);
  void StepOpening();
  void StepFlights();
  void StepClosing();
  void StepAborting();
  // OK where the channel goes on.
  absl::Status LandFlights();
  absl::Status MarkIssued();
  void ExpireQueued();
  void IssueReady();
  absl::Status Issue(Flight& flight);
  void CloseWhereIdle();

  // Everything ends: `culprit`, where it is in flight, with `its`, all others with `others`.
  void AbortAll(const absl::Status& others, ChannelTransferId culprit = 0, const absl::Status& its = {});
  void End();
  void EndQueued(const absl::Status& status);
  void Tell(ChannelTransfer& transfer, absl::Status status);
  int64_t now() const { return clock_.MonotonicMs(); }

  NcclLibrary& library_;
  const Clock& clock_;
  const ChannelTimeouts& timeouts_;

  State state_ = State::kOpening;
  absl::Status status_;
  int64_t limit_ms_ = INT64_MAX;  // of opening, closing, aborting
  int64_t used_ms_ = 0;           // when it last had transfers
  bool has_opened_ = false;
  bool finalizing_ = false;
  std::unique_ptr<DeviceStream> stream_;
  NcclLibrary::Comm comm_ = nullptr;
  std::deque<Queued> queue_;
  std::deque<Flight> flights_;  // in order of the stream
  std::optional<DeviceStream::Mark> abort_mark_;
  int64_t next_sequence_ = 0;
  std::vector<std::function<void()>> calls_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_MACHINE_H_
