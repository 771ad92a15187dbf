// Scoring, selecting, gathering and digesting: what the strand does as layers become ready.
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/check.h"
#include "service/base/status_macros.h"
#include "service/session/row_digest.h"
#include "service/session/session_core.h"

namespace chunkkv {
namespace {

// The compactor counts attention layers; clients count all.
absl::Status OfLayer(const absl::Status& status, int32_t layer) {
  return ErrorStatus(status.code(), StatusReason(status), absl::StrCat("layer ", layer, ": ", status.message()));
}

}  // namespace

void SessionCore::Post(void (SessionCore::*task)(int32_t), int32_t layer) {
  strand_->Post([self = shared_from_this(), task, layer] {
    if (!self->cancelled_.load(std::memory_order_relaxed)) ((*self).*task)(layer);
  });
}

void SessionCore::ScoreLayer(int32_t layer_index) {
  const LayerPlan& layer = put_.layers[layer_index];
  std::shared_ptr<ScoreInputs> inputs;
  std::shared_ptr<LayerStage> stage;
  std::shared_ptr<EntryBody> body;
  absl::Status status;
  {
    MutexLock lock(mutex_);
    if (end_.has_value()) return;
    inputs = scores_[layer.attention_layer];
    stage = stages_[layer_index];
    body = body_;
    // Attention alone has not asked for the memory that scores go to.
    status = inputs->Allocate(PartTensor::kTokenScores, memory_);
  }
  if (status.ok()) {
    RowsView keys;
    if (put_.plan.source == ScoreSource::kQueryWindow) {
      keys = stage != nullptr ? stage->Rows(0) : body->Rows(layer_index, 0);
    }
    ScoreTask task = MakeScoreTask(layer.attention_layer, keys, inputs->Addresses(), request_.score_dtype);
    task.allows_chunk_means = recorded_ == nullptr && AllowsChunkMeans(put_.plan);
    Batch batch;
    batch.score = absl::MakeConstSpan(&task, 1);
    status = runner_.Run(batch);
  }
  if (!status.ok()) return End(OfLayer(status, layer_index));
  selector_.AddScores(layer.attention_layer, inputs->token_scores());
  if (recorded_ != nullptr) recorded_->Add(layer.attention_layer, inputs->token_scores());
  BufferPtr attention;
  {
    MutexLock lock(mutex_);
    attention = inputs->TakeAttention();
  }
  // Before others may want it, and without the lock, for it may be unmapped.
  if (attention != nullptr) memory_.Recycle(std::move(attention));
  {
    MutexLock lock(mutex_);
    arrivals_.MarkScored(layer_index);
    Wake();
  }
  callbacks_.Deliver();
  if (put_.decides_last) {
    if (selector_.AreAllReady()) status = DecideLast();
  } else if (selector_.IsReady(layer.group)) {
    status = SelectGroup(layer.group);
  }
  if (!status.ok()) End(status);
}

absl::Status SessionCore::SelectGroup(int32_t group) {
  CHUNKKV_ASSIGN_OR_RETURN(PositionsPtr positions, selector_.Select(group));
  PublishSelection(group, std::move(positions));
  ReleaseScores(group);
  for (const int32_t layer : std::exchange(unselected_[group], {})) {
    CHUNKKV_RETURN_IF_ERROR(ReduceStaged(put_.layers[layer]));
  }
  return absl::OkStatus();
}

void SessionCore::PublishSelection(int32_t group, PositionsPtr positions) {
  {
    MutexLock lock(mutex_);
    if (end_.has_value()) return;
    EntryBody* const body = final_body_ != nullptr ? final_body_.get() : body_.get();
    if (positions != nullptr) {
      body->WritePositions(PositionsOffsets(row_counts_, put_.plan.token_count)[group], *positions);
    }
    positions_[group] = positions;
    arrivals_.MarkSelected(group, row_counts_[group]);
    if (put_.plan.policy != Policy::kFull || put_.selects_first) {
      callbacks_.Push([this, group, positions] {
        const bool everything = positions == nullptr;
        listener_->OnSelection(group, everything ? absl::Span<const int32_t>() : absl::MakeConstSpan(*positions),
                               everything);
      });
    }
    Wake();
  }
  if (put_.is_scored) callbacks_.Deliver();
}

void SessionCore::ReleaseScores(int32_t group) {
  std::vector<BufferPtr> buffers;  // released after the lock
  MutexLock lock(mutex_);
  if (end_.has_value()) return;
  const ReuseGroup& reuse = put_.plan.groups[group];
  for (int32_t layer = reuse.first_layer; layer < reuse.first_layer + reuse.layer_count; ++layer) {
    if (scores_[layer] != nullptr) buffers.push_back(scores_[layer]->TakeBuffer());
  }
}

absl::Status SessionCore::DecideLast() {
  CHUNKKV_ASSIGN_OR_RETURN(std::vector<PositionsPtr> positions, selector_.SelectAll());
  const int64_t group_count = static_cast<int64_t>(positions.size());
  row_counts_.assign(group_count, selector_.budget());
  const bool everything = selector_.budget() == put_.plan.token_count;
  if (put_.selects_first) {
    CHUNKKV_ASSIGN_OR_RETURN(std::shared_ptr<EntryBody> body, MakeBody(row_counts_));
    MutexLock lock(mutex_);
    body_ = std::move(body);
  } else if (!everything) {
    CHUNKKV_ASSIGN_OR_RETURN(final_body_, MakeBody(row_counts_));
  }
  for (int32_t group = 0; group < group_count; ++group) {
    PublishSelection(group, std::move(positions[group]));
    ReleaseScores(group);
  }
  decided_ = true;
  for (const int32_t layer : std::exchange(undecided_, {})) {
    if (final_body_ != nullptr) CHUNKKV_RETURN_IF_ERROR(ReduceIntoFinal(put_.layers[layer]));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<EntryBody>> SessionCore::MakeBody(const std::vector<int64_t>& row_counts) {
  int64_t size = PositionsBytes(row_counts, put_.plan.token_count);
  CHUNKKV_ASSIGN_OR_RETURN(std::vector<TensorSlot> slots,
                           LayOutBody(request_.layout, put_.plan.groups, row_counts, size));
  size = slots.back().offset + slots.back().size_bytes;
  CHUNKKV_ASSIGN_OR_RETURN(BufferPtr buffer, memory_.Acquire(size, BodyKind()));
  return std::make_shared<EntryBody>(put_.layers, std::move(slots), std::move(buffer));
}

void SessionCore::ReceiveLayer(int32_t layer_index) {
  const LayerPlan& layer = put_.layers[layer_index];
  if (layer.attention_layer >= 0 && put_.row_place == RowPlace::kStaged) {
    bool selected = false;
    {
      MutexLock lock(mutex_);
      selected = arrivals_.IsSelected(layer.group);
    }
    if (!selected) return unselected_[layer.group].push_back(layer_index);
    if (absl::Status status = ReduceStaged(layer); !status.ok()) End(status);
    return;
  }
  if (absl::Status status = ReceiveRows(layer); !status.ok()) return End(status);
  {
    MutexLock lock(mutex_);
    arrivals_.MarkReduced(layer_index);
    Wake();
  }
  callbacks_.Deliver();
}

absl::Status SessionCore::ReceiveRows(const LayerPlan& layer) {
  std::shared_ptr<EntryBody> body;
  {
    MutexLock lock(mutex_);
    if (end_.has_value()) return *end_;
    body = body_;
  }
  DigestBody(layer, *body);
  const bool has_all_rows = put_.row_place == RowPlace::kBody && (!put_.selects_first || put_.keeps_everything);
  if (layer.attention_layer >= 0 && has_all_rows) {
    for (size_t tensor = 0; tensor < layer.tensors.size(); ++tensor) {
      content_digests_[layer.layer].push_back(body->slot(layer.layer, tensor).digest);
    }
  }
  if (!put_.decides_last || put_.selects_first) return absl::OkStatus();
  if (!decided_) {
    undecided_.push_back(layer.layer);
  } else if (final_body_ != nullptr) {
    return ReduceIntoFinal(layer);
  }
  return absl::OkStatus();
}

absl::Status SessionCore::ReduceStaged(const LayerPlan& layer) {
  std::vector<RegionRows> in_regions;
  PositionsPtr positions;
  std::shared_ptr<LayerStage> stage;
  std::shared_ptr<EntryBody> body;
  {
    MutexLock lock(mutex_);
    if (end_.has_value()) return *end_;
    stage = stages_[layer.layer];
    body = body_;
    in_regions = std::exchange(region_rows_[layer.layer], {});
    positions = positions_[layer.group];
  }
  if (stage != nullptr) {
    std::vector<RowsView> sources;
    for (size_t tensor = 0; tensor < layer.tensors.size(); ++tensor) sources.push_back(stage->Rows(tensor));
    CHUNKKV_RETURN_IF_ERROR(Gather(layer, sources, in_regions, *body));
    if (in_regions.empty()) {
      std::vector<Bytes16>& digests = content_digests_[layer.layer];
      digests.resize(sources.size());
      runner_.RunParallel(sources.size(), [&](size_t i) { digests[i] = DigestRows(sources[i], runner_.cancelled()); });
    }
  }
  for (const RegionRows& rows : in_regions) {
    CHUNKKV_RETURN_IF_ERROR(ReadKept(rows.part, rows.source->part, *positions, *body));
  }
  DigestBody(layer, *body);
  {
    MutexLock lock(mutex_);
    if (end_.has_value()) return *end_;
    for (const RegionRows& rows : in_regions) Consume(rows.part);
    if (stage != nullptr) staged_bytes_ -= stage->RowBytes();
    stages_[layer.layer] = nullptr;
  }
  if (stage != nullptr) memory_.Recycle(stage->TakeBuffer());
  {
    MutexLock lock(mutex_);
    if (end_.has_value()) return *end_;
    arrivals_.MarkReduced(layer.layer);
    Wake();
  }
  callbacks_.Deliver();
  return absl::OkStatus();
}

absl::Status SessionCore::ReduceIntoFinal(const LayerPlan& layer) {
  std::shared_ptr<EntryBody> source;
  {
    MutexLock lock(mutex_);
    if (end_.has_value()) return *end_;
    source = body_;
  }
  if (layer.attention_layer < 0) {
    for (size_t tensor = 0; tensor < layer.tensors.size(); ++tensor) {
      const TensorSlot& from = source->slot(layer.layer, tensor);
      TensorSlot& to = final_body_->slot(layer.layer, tensor);
      CopyBytes({source->Address(from), static_cast<size_t>(from.size_bytes)}, final_body_->Address(to),
                runner_.cancelled());
      to.digest = from.digest;
    }
    return absl::OkStatus();
  }
  std::vector<RowsView> sources;
  for (size_t tensor = 0; tensor < layer.tensors.size(); ++tensor) {
    sources.push_back(source->Rows(layer.layer, tensor));
  }
  CHUNKKV_RETURN_IF_ERROR(Gather(layer, sources, {}, *final_body_));
  DigestBody(layer, *final_body_);
  return absl::OkStatus();
}

absl::Status SessionCore::Gather(const LayerPlan& layer, const std::vector<RowsView>& sources,
                                 const std::vector<RegionRows>& elsewhere, EntryBody& destination) {
  PositionsPtr positions;
  {
    MutexLock lock(mutex_);
    positions = positions_[layer.group];
  }
  std::vector<GatherTask> tasks;
  for (size_t tensor = 0; tensor < sources.size(); ++tensor) {
    GatherTask task;
    task.source = sources[tensor];
    const TensorSlot& slot = destination.slot(layer.layer, tensor);
    for (const absl::Span<const int32_t> kept : KeptOutside(*positions, tensor, elsewhere)) {
      task.positions = kept;
      task.destination = destination.Address(slot) + (kept.data() - positions->data()) * slot.spec.row_bytes;
      tasks.push_back(task);
    }
  }
  Batch batch;
  batch.gather = tasks;
  return runner_.Run(batch);
}

void SessionCore::DigestBody(const LayerPlan& layer, EntryBody& body) {
  runner_.RunParallel(layer.tensors.size(), [&](size_t tensor) {
    TensorSlot& slot = body.slot(layer.layer, tensor);
    slot.digest = DigestBytes({body.Address(slot), static_cast<size_t>(slot.size_bytes)}, runner_.cancelled());
  });
}

}  // namespace chunkkv
