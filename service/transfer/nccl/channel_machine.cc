#include "service/transfer/nccl/channel_machine.h"

#include <algorithm>
#include <utility>

#include "service/base/status_macros.h"
#include "service/transfer/nccl/channel_status.h"

namespace chunkkv {
namespace {

using Progress = NcclLibrary::Progress;

// The client is rank 1.
constexpr int kOwnRank = 0;
constexpr int kPeerRank = 1;
constexpr int kRankCount = 2;

}  // namespace

ChannelMachine::~ChannelMachine() {
  Abort(ChannelClosed("the server ends"));
  for (Flight& flight : flights_) Tell(flight.transfer, DeviceStuck());
  for (const auto& call : TakeCalls()) call();
}

void ChannelMachine::Begin(const NcclUniqueId& id, const StreamMaker& make_stream) {
  limit_ms_ = now() + timeouts_.open_ms;
  if (absl::Status status = BeginOn(id, make_stream); !status.ok()) AbortAll(status);
}

absl::Status ChannelMachine::BeginOn(const NcclUniqueId& id, const StreamMaker& make_stream) {
  CHUNKKV_ASSIGN_OR_RETURN(stream_, make_stream());
  CHUNKKV_RETURN_IF_ERROR(stream_->MakeCurrent());
  CHUNKKV_ASSIGN_OR_RETURN(comm_, library_.Begin(id, kOwnRank, kRankCount));
  return absl::OkStatus();
}

void ChannelMachine::Add(ChannelTransferId id, ChannelTransfer transfer) {
  if (!status_.ok()) return Tell(transfer, status_);
  queue_.push_back({id, std::move(transfer)});
}

void ChannelMachine::SetPeerReady(ChannelTransferId id) {
  for (Queued& queued : queue_) {
    if (queued.id == id) queued.transfer.peer_is_ready = true;
  }
}

void ChannelMachine::Cancel(ChannelTransferId id) {
  const auto queued = std::find_if(queue_.begin(), queue_.end(), [id](const Queued& one) { return one.id == id; });
  if (queued != queue_.end()) {
    Tell(queued->transfer, TransferCancelled());
    queue_.erase(queued);
    return;
  }
  if (state_ != State::kOpen && state_ != State::kClosing) return;
  if (absl::Status status = LandFlights(); !status.ok()) return AbortAll(status);
  if (std::any_of(flights_.begin(), flights_.end(), [id](const Flight& flight) { return flight.id == id; })) {
    AbortAll(ChannelClosed("a transfer in flight was cancelled"), id, TransferCancelled());
  }
}

void ChannelMachine::Close(const absl::Status& why) {
  if (!status_.ok()) return;
  if (state_ == State::kOpening) return AbortAll(why);
  status_ = why;
  EndQueued(why);
  state_ = State::kClosing;
  limit_ms_ = now() + timeouts_.close_ms;
}

void ChannelMachine::Abort(const absl::Status& why) {
  if (state_ == State::kAborting || state_ == State::kEnded) return;
  // What the device has passed did arrive.
  LandFlights().IgnoreError();
  AbortAll(why);
}

void ChannelMachine::Step() {
  switch (state_) {
    case State::kOpening:
      return StepOpening();
    case State::kOpen:
      StepFlights();
      if (state_ == State::kOpen) IssueReady();
      if (state_ == State::kOpen) CloseWhereIdle();
      return;
    case State::kClosing:
      return StepClosing();
    case State::kAborting:
      return StepAborting();
    case State::kEnded:
      return;
  }
}

void ChannelMachine::StepOpening() {
  ExpireQueued();
  const absl::StatusOr<Progress> progress = library_.Poll(comm_);
  if (!progress.ok()) return AbortAll(progress.status());
  if (*progress == Progress::kDone) {
    state_ = State::kOpen;
    has_opened_ = true;
    used_ms_ = now();
    IssueReady();
  } else if (now() >= limit_ms_) {
    AbortAll(ChannelTimeout());
  }
}

void ChannelMachine::StepFlights() {
  absl::Status status = LandFlights();
  if (status.ok()) status = MarkIssued();
  if (!status.ok()) return AbortAll(status);
  for (const Flight& flight : flights_) {
    if (now() < flight.deadline_ms) continue;
    return AbortAll(ChannelClosed("a transfer's time in flight ended"), flight.id, TransferTimeout("in flight"));
  }
  ExpireQueued();
}

absl::Status ChannelMachine::LandFlights() {
  while (!flights_.empty() && flights_.front().mark.has_value()) {
    CHUNKKV_ASSIGN_OR_RETURN(const bool has_passed, stream_->HasPassed(*flights_.front().mark));
    if (!has_passed) break;
    Tell(flights_.front().transfer, absl::OkStatus());
    flights_.pop_front();
  }
  return absl::OkStatus();
}

absl::Status ChannelMachine::MarkIssued() {
  CHUNKKV_ASSIGN_OR_RETURN(const Progress progress, library_.Poll(comm_));
  if (progress == Progress::kInProgress || flights_.empty() || flights_.back().mark.has_value()) {
    return absl::OkStatus();
  }
  CHUNKKV_ASSIGN_OR_RETURN(flights_.back().mark, stream_->SetMark());
  return absl::OkStatus();
}

void ChannelMachine::ExpireQueued() {
  for (auto queued = queue_.begin(); queued != queue_.end();) {
    if (now() < queued->transfer.deadline_ms) {
      ++queued;
      continue;
    }
    Tell(queued->transfer, TransferTimeout("before it started"));
    queued = queue_.erase(queued);
  }
}

void ChannelMachine::IssueReady() {
  // Only the last one can still be on its way to the stream, and then nothing else may be asked of the communicator.
  while (flights_.size() < kMostInFlight && (flights_.empty() || flights_.back().mark.has_value())) {
    const auto ready =
        std::find_if(queue_.begin(), queue_.end(), [](const Queued& queued) { return queued.transfer.peer_is_ready; });
    if (ready == queue_.end()) break;
    // The time of one behind another begins when that one's ends.
    const int64_t begin_ms = flights_.empty() ? now() : std::max(now(), flights_.back().deadline_ms);
    Flight flight;
    flight.id = ready->id;
    flight.transfer = std::move(ready->transfer);
    flight.sequence = next_sequence_++;
    flight.deadline_ms =
        std::min(flight.transfer.deadline_ms,
                 begin_ms + timeouts_.transfer_ms + flight.transfer.size_bytes / timeouts_.slowest_bytes_per_ms);
    queue_.erase(ready);
    flights_.push_back(std::move(flight));
    absl::Status status = Issue(flights_.back());
    if (status.ok()) status = MarkIssued();
    if (!status.ok()) return AbortAll(status);
  }
}

void ChannelMachine::CloseWhereIdle() {
  if (!flights_.empty() || !queue_.empty()) {
    used_ms_ = now();
  } else if (now() - used_ms_ >= timeouts_.idle_ms) {
    Close(ChannelClosed("nobody used it"));
  }
}

absl::Status ChannelMachine::Issue(Flight& flight) {
  ChannelTransfer& transfer = flight.transfer;
  if (transfer.starting) {
    calls_.push_back([starting = std::move(transfer.starting), sequence = flight.sequence] { starting(sequence); });
  }
  const auto size_bytes = static_cast<size_t>(transfer.size_bytes);
  return transfer.direction == ChannelTransfer::Direction::kSend
             ? library_.Send(comm_, kPeerRank, transfer.memory, size_bytes, stream_->handle())
             : library_.Receive(comm_, kPeerRank, transfer.memory, size_bytes, stream_->handle());
}

void ChannelMachine::StepClosing() {
  if (!finalizing_) {
    StepFlights();
    if (state_ != State::kClosing) return;
    if (flights_.empty()) {
      if (absl::Status status = library_.Finalize(comm_); !status.ok()) return AbortAll(status);
      finalizing_ = true;
    }
  }
  if (finalizing_) {
    const absl::StatusOr<Progress> progress = library_.Poll(comm_);
    if (!progress.ok()) return AbortAll(progress.status());
    if (*progress == Progress::kDone) {
      library_.Destroy(std::exchange(comm_, nullptr)).IgnoreError();
      return End();
    }
  }
  if (now() >= limit_ms_) AbortAll(status_);
}

void ChannelMachine::AbortAll(const absl::Status& others, ChannelTransferId culprit, const absl::Status& its) {
  if (status_.ok()) status_ = others;
  EndQueued(others);
  for (Flight& flight : flights_) flight.outcome = flight.id == culprit ? its : others;
  if (comm_ != nullptr) library_.Abort(std::exchange(comm_, nullptr)).IgnoreError();
  if (flights_.empty()) return End();
  // Not by their own marks: one may be on the stream without.
  const absl::StatusOr<DeviceStream::Mark> mark = stream_->SetMark();
  abort_mark_ = mark.ok() ? std::optional(*mark) : std::nullopt;
  limit_ms_ = now() + timeouts_.abort_ms;
  state_ = State::kAborting;
  StepAborting();
}

void ChannelMachine::StepAborting() {
  // A device that gives errors runs nothing any more.
  const absl::StatusOr<bool> has_passed =
      abort_mark_.has_value() ? stream_->HasPassed(*abort_mark_) : absl::StatusOr<bool>(true);
  const bool is_over = !has_passed.ok() || *has_passed;
  if (!is_over && now() < limit_ms_) return;
  for (Flight& flight : flights_) Tell(flight.transfer, is_over ? flight.outcome : DeviceStuck());
  flights_.clear();
  End();
}

void ChannelMachine::End() {
  stream_ = nullptr;
  state_ = State::kEnded;
}

void ChannelMachine::EndQueued(const absl::Status& status) {
  for (Queued& queued : queue_) Tell(queued.transfer, status);
  queue_.clear();
}

void ChannelMachine::Tell(ChannelTransfer& transfer, absl::Status status) {
  calls_.push_back([done = std::move(transfer.done), status = std::move(status)] { done(status); });
}

ChannelMachine::Pace ChannelMachine::pace() const {
  if (state_ != State::kAborting && !flights_.empty()) return Pace::kMoving;
  return state_ == State::kOpen || state_ == State::kEnded ? Pace::kIdle : Pace::kWaiting;
}

std::vector<std::function<void()>> ChannelMachine::TakeCalls() { return std::exchange(calls_, {}); }

}  // namespace chunkkv
