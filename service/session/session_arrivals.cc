// Streams, parts and positions: what callers' threads do, under the lock.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/check.h"
#include "service/base/status_macros.h"
#include "service/session/session_core.h"

namespace chunkkv {
namespace {

bool IsScoreInput(PartTensor tensor) {
  return tensor == PartTensor::kQueries || tensor == PartTensor::kLse || tensor == PartTensor::kAttention ||
         tensor == PartTensor::kTokenScores;
}

}  // namespace

absl::Status SessionCore::AfterCommit() { return InvalidArgument("AFTER_COMMIT", "nothing may follow the commit"); }

absl::Status SessionCore::TensorsAfterSelection(int32_t layer) {
  return FailedPrecondition("NOT_SELECTED",
                            absl::StrCat("layer ", layer, ": under this guardrail, tensors come after the selection"));
}

absl::StatusOr<int32_t> SessionCore::OpenStream() {
  int32_t stream = 0;
  {
    MutexLock lock(mutex_);
    if (end_.has_value()) return end_->ok() ? AfterCommit() : *end_;
    if (committing_stream_ >= 0) return AfterCommit();
    if (arrivals_.open_streams() >= limits_.max_streams) {
      return ErrorStatus(absl::StatusCode::kResourceExhausted, "TOO_MANY_STREAMS",
                         absl::StrCat("a session has at most ", limits_.max_streams, " streams"));
    }
    stream = arrivals_.OpenStream();
  }
  // Selections that were known from the beginning are told from the first stream on.
  strand_->Post([self = shared_from_this()] { self->callbacks_.Deliver(); });
  return stream;
}

void SessionCore::CloseStream(int32_t stream) {
  absl::Status failure;
  {
    MutexLock lock(mutex_);
    if (!arrivals_.CloseStream(stream) || end_.has_value()) return;
    std::erase_if(waiting_, [stream](const auto& waiting) { return waiting.first == stream; });
    failure = TryCommit();
  }
  if (!failure.ok()) End(failure);
}

absl::StatusOr<PutSession::Placement> SessionCore::PlacePart(int32_t stream, const PartHeader& header,
                                                             std::function<void()> resume) {
  absl::StatusOr<PutSession::Placement> placement;
  {
    MutexLock lock(mutex_);
    if (end_.has_value()) return end_->ok() ? AfterCommit() : *end_;
    placement = PlaceLocked(stream, header, resume);
  }
  if (!placement.ok()) End(placement.status());
  return placement;
}

absl::StatusOr<PutSession::Placement> SessionCore::PlaceLocked(int32_t stream, const PartHeader& header,
                                                               std::function<void()>& resume) {
  PutSession::Placement placement;
  CHUNKKV_ASSIGN_OR_RETURN(const std::optional<PlacedPart> part, Admit(stream, header, resume));
  placement.later = !part.has_value();
  if (placement.later) return placement;
  Ticket ticket;
  ticket.part = *part;
  ticket.payload_bytes = header.payload_bytes;
  CHUNKKV_RETURN_IF_ERROR(AddPieces(*part, ticket, placement.pieces));
  placement.ticket = ++last_ticket_;
  tickets_.emplace(placement.ticket, std::move(ticket));
  return placement;
}

absl::StatusOr<std::optional<PlacedPart>> SessionCore::Admit(int32_t stream, const PartHeader& header,
                                                             std::function<void()>& resume) {
  if (!arrivals_.IsOpen(stream)) return FailedPrecondition("STREAM_CLOSED", "a part came on a closed stream");
  if (stream == committing_stream_ || committing_) return AfterCommit();
  bool later = MustWaitForSink(header);
  std::optional<PlacedPart> part;
  if (!later) {
    CHUNKKV_ASSIGN_OR_RETURN(const PartArrivals::Decision decision, arrivals_.Place(stream, header));
    later = decision.later;
    part = decision.part;
  }
  if (!later) return part;
  waiting_.emplace_back(stream, std::move(resume));
  return std::optional<PlacedPart>();
}

bool SessionCore::MustWaitForSink(const PartHeader& header) const {
  if (header.in_region) return false;  // nothing of it is received
  if (staging_.sink_count == 0 || sinks_in_use_ < staging_.sink_count) return false;
  if (header.tensor == PartTensor::kNamed) return false;
  return IsScoreInput(header.tensor) || put_.row_place == RowPlace::kKeptInBody;
}

absl::StatusOr<absl::Span<std::byte>> SessionCore::TakeSink(Ticket& ticket) {
  if (free_sinks_.empty()) {
    CHUNKKV_ASSIGN_OR_RETURN(ticket.sink, memory_.Acquire(staging_.sink_buffer_bytes));
  } else {
    ticket.sink = std::move(free_sinks_.back());
    free_sinks_.pop_back();
  }
  ++sinks_in_use_;
  return ticket.sink->span();
}

absl::StatusOr<std::shared_ptr<LayerStage>> SessionCore::StageOf(const LayerPlan& layer) {
  std::shared_ptr<LayerStage>& stage = stages_[layer.layer];
  if (stage != nullptr) return stage;
  const int64_t bytes =
      staging_.layer_buffer_bytes > 0 ? staging_.layer_buffer_bytes : LayerStageBytes(layer, put_.plan.token_count);
  CHUNKKV_ASSIGN_OR_RETURN(BufferPtr buffer, memory_.Acquire(bytes));
  stage = std::make_shared<LayerStage>(layer, put_.plan.token_count, std::move(buffer));
  staged_bytes_ += stage->RowBytes();
  peak_staging_bytes_ = std::max(peak_staging_bytes_, staged_bytes_);
  return stage;
}

absl::Status SessionCore::AddRowPieces(const PlacedPart& part, Ticket& ticket, Pieces& pieces) {
  const LayerPlan& layer = put_.layers[part.layer];
  if (put_.row_place == RowPlace::kStaged) {
    CHUNKKV_ASSIGN_OR_RETURN(const std::shared_ptr<LayerStage> stage, StageOf(layer));
    ticket.memory = stage->buffer();
    PlaceRows(stage->Target(part.tensor), part.begin, part.end, layer.head_major_parts, pieces);
    return absl::OkStatus();
  }
  ticket.memory = body_->buffer();
  const RowTarget target = body_->Target(part.layer, part.tensor);
  if (put_.row_place == RowPlace::kBody) {
    PlaceRows(target, part.begin, part.end, layer.head_major_parts, pieces);
    return absl::OkStatus();
  }
  CHUNKKV_ASSIGN_OR_RETURN(const absl::Span<std::byte> sink, TakeSink(ticket));
  PlaceKeptRows(target, *positions_[layer.group], part.begin, part.end, layer.head_major_parts, sink, pieces);
  return absl::OkStatus();
}

absl::Status SessionCore::AddPieces(const PlacedPart& part, Ticket& ticket, Pieces& pieces) {
  switch (part.kind) {
    case PlacedPart::Kind::kRows:
      return AddRowPieces(part, ticket, pieces);
    case PlacedPart::Kind::kNamed:
    case PlacedPart::Kind::kScores: {
      CHUNKKV_ASSIGN_OR_RETURN(BytesPlace place, PlaceBytes(part));
      ticket.memory = std::move(place.memory);
      pieces.push_back(place.bytes);
      return absl::OkStatus();
    }
    case PlacedPart::Kind::kDropped: {
      CHUNKKV_ASSIGN_OR_RETURN(const absl::Span<std::byte> sink, TakeSink(ticket));
      pieces.push_back(sink.subspan(0, part.end - part.begin));
      return absl::OkStatus();
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<SessionCore::BytesPlace> SessionCore::PlaceBytes(const PlacedPart& part) {
  const auto size = static_cast<size_t>(part.end - part.begin);
  if (part.kind == PlacedPart::Kind::kNamed) {
    if (body_ == nullptr) return TensorsAfterSelection(part.layer);
    return BytesPlace{body_->buffer(), {body_->Address(body_->slot(part.layer, part.tensor)) + part.begin, size}};
  }
  ScoreInputs& scores = *scores_[put_.layers[part.layer].attention_layer];
  CHUNKKV_RETURN_IF_ERROR(scores.Allocate(part.part, memory_));
  return BytesPlace{scores.BufferOf(part.part), {scores.Address(part.part) + part.begin, size}};
}

absl::Status SessionCore::FinishPart(uint64_t ticket_id, bool checksum_matches) {
  absl::Status failure;
  Ticket ticket;
  {
    MutexLock lock(mutex_);
    const auto found = tickets_.find(ticket_id);
    CHUNKKV_CHECK(found != tickets_.end());
    ticket = std::move(found->second);
    tickets_.erase(found);
    if (end_.has_value()) {
      FreeLater({std::move(ticket.memory), std::move(ticket.sink)});
      return *end_;
    }
    if (ticket.sink != nullptr) {
      --sinks_in_use_;
      free_sinks_.push_back(std::move(ticket.sink));
      Wake();
    }
    const PlacedPart& part = ticket.part;
    if (checksum_matches) {
      received_bytes_ += ticket.payload_bytes;
      failure = Arrived(part);
    } else {
      PartHeader header;
      header.layer = part.layer;
      header.tensor = part.part;
      failure = InvalidArgument("PART_CHECKSUM", absl::StrCat("part of ", NameOf(header), ", range [", part.begin, ", ",
                                                              part.end, "): its bytes do not match its checksum"));
    }
  }
  if (!failure.ok()) End(failure);
  callbacks_.Deliver();
  return failure;
}

absl::Status SessionCore::SetPositions(int32_t group, absl::Span<const int32_t> positions) {
  absl::Status failure;
  {
    MutexLock lock(mutex_);
    if (end_.has_value()) return end_->ok() ? AfterCommit() : *end_;
    failure = SetPositionsLocked(group, positions);
  }
  if (!failure.ok()) End(failure);
  return failure;
}

absl::Status SessionCore::SetPositionsLocked(int32_t group, absl::Span<const int32_t> positions) {
  if (committing_stream_ >= 0) return AfterCommit();
  if (!put_.is_external) {
    return InvalidArgument("POSITIONS_UNEXPECTED", "positions: only with policy external does the caller choose");
  }
  if (group < 0 || group >= static_cast<int32_t>(positions_.size())) {
    return InvalidArgument("BAD_GROUP", absl::StrCat("positions.group ", group, " of ", positions_.size()));
  }
  if (arrivals_.IsSelected(group)) {
    return InvalidArgument("POSITIONS_UNEXPECTED", absl::StrCat("positions of group ", group, " came before"));
  }
  if (static_cast<int64_t>(positions.size()) != row_counts_[group]) {
    return InvalidArgument("BAD_POSITION_COUNT", absl::StrCat("group ", group, ": ", positions.size(), " positions, ",
                                                              row_counts_[group], " announced"));
  }
  int64_t previous = -1;
  for (size_t i = 0; i < positions.size(); ++i) {
    if (positions[i] <= previous || positions[i] >= put_.plan.token_count) {
      return InvalidArgument("BAD_POSITIONS",
                             absl::StrCat("group ", group, ": positions[", i, "] = ", positions[i],
                                          " must ascend from 0 and stay below ", put_.plan.token_count));
    }
    previous = positions[i];
  }
  positions_[group] = std::make_shared<const std::vector<int32_t>>(positions.begin(), positions.end());
  const int64_t offset = PositionsOffsets(row_counts_, put_.plan.token_count)[group];
  if (offset >= 0) body_->WritePositions(offset, positions);
  arrivals_.MarkSelected(group, row_counts_[group]);
  return absl::OkStatus();
}

absl::Status SessionCore::Arrived(const PlacedPart& part) {
  const int32_t layer = part.layer;
  arrivals_.Finish(part);
  const LayerPlan& planned = put_.layers[layer];
  if (planned.is_scored && !score_posted_[layer] && arrivals_.CanScore(layer)) {
    score_posted_[layer] = true;
    Post(&SessionCore::ScoreLayer, layer);
  }
  if (!receive_posted_[layer] && arrivals_.IsLayerComplete(layer)) {
    receive_posted_[layer] = true;
    Post(&SessionCore::ReceiveLayer, layer);
  }
  return TryCommit();
}

void SessionCore::Wake() {
  for (auto& [stream, resume] : waiting_) callbacks_.Push(std::move(resume));
  waiting_.clear();
}

void SessionCore::Commit(const std::optional<Bytes16>& content_digest, int32_t stream) {
  absl::Status failure;
  {
    MutexLock lock(mutex_);
    if (end_.has_value()) return;
    if (committing_stream_ >= 0) {
      failure = AfterCommit();
    } else {
      committing_stream_ = stream;
      commit_digest_ = content_digest;
      failure = TryCommit();
    }
  }
  if (!failure.ok()) End(failure);
}

absl::Status SessionCore::TryCommit() {
  if (committing_stream_ < 0 || committing_ || !tickets_.empty() || region_reads_ > 0) {
    return absl::OkStatus();
  }
  if (arrivals_.IsComplete()) {
    committing_ = true;
    strand_->Post([self = shared_from_this()] { self->Finalize(); });
    return absl::OkStatus();
  }
  return arrivals_.HasOtherStreams(committing_stream_) ? absl::OkStatus() : arrivals_.Missing();
}

void SessionCore::EndIfStalled() {
  absl::Status failure;
  {
    MutexLock lock(mutex_);
    if (end_.has_value() || !arrivals_.AllWait() || !tickets_.empty() || !strand_->IsIdle()) {
      stalled_since_ms_ = -1;
      return;
    }
    const int64_t now_ms = clock_.MonotonicMs();
    if (stalled_since_ms_ < 0) stalled_since_ms_ = now_ms;
    if (now_ms - stalled_since_ms_ < limits_.stall_ms) return;
    failure = InvalidArgument(
        "GAP", absl::StrCat("every stream is ahead of what may be staged: ", arrivals_.Missing().message()));
  }
  End(failure);
}

}  // namespace chunkkv
