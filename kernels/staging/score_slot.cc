#include "kernels/staging/score_slot.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/common/run.h"
#include "kernels/common/scratch.h"
#include "kernels/staging/staged_rows.h"

namespace chunkkv {
namespace {

constexpr size_t kPinnedBytes = 16 << 20;
constexpr size_t kPieceBytes = 1 << 20;  // that one thread copies to pinned memory at once

}  // namespace

ScoreSlot::ScoreSlot(const Compactor& device, DeviceMemory& memory, void* stream)
    : device_(device),
      memory_(memory),
      stream_(stream),
      inputs_(memory, DeviceBuffer::Kind::kDevice),
      pinned_(memory, DeviceBuffer::Kind::kPinned),
      failure_(memory, DeviceBuffer::Kind::kPinned),
      scores_(memory, DeviceBuffer::Kind::kPinned) {}

absl::StatusOr<std::unique_ptr<ScoreSlot>> ScoreSlot::Create(const Compactor& device, DeviceMemory& memory) {
  absl::StatusOr<void*> stream = memory.CreateStream();
  if (!stream.ok()) return stream.status();
  std::unique_ptr<ScoreSlot> slot(new ScoreSlot(device, memory, *stream));
  if (absl::Status status = slot->failure_.Reserve(sizeof(uint64_t)); !status.ok()) return status;
  if (absl::Status status = slot->pinned_.Reserve(kPinnedBytes); !status.ok()) return status;
  return slot;
}

ScoreSlot::~ScoreSlot() {
  Drain();
  memory_.DestroyStream(stream_);
}

void ScoreSlot::Drain() {
  if (std::exchange(task_, nullptr) != nullptr) memory_.Synchronize(stream_).IgnoreError();
}

absl::Status ScoreSlot::Start(const Plan& plan, const ScoreTask& task, const ExecutionContext& context) {
  const AttentionShape& shape = plan.layers[task.layer];
  const int64_t queries = std::min(plan.window_length, plan.token_count) * shape.query_head_count;
  const size_t query_bytes = queries * shape.key_head_size * DTypeSize(task.queries.dtype);
  const StagedRows keys(task.keys);
  const StagedRows scales(task.key_scales);
  Batch batch;
  batch.score = absl::MakeConstSpan(&task, 1);
  const size_t workspace_bytes = device_.WorkspaceBytes(plan, batch);
  const auto take = [&](Scratch& scratch) {
    return std::tuple(scratch.Take<std::byte>(keys.Bytes()), scratch.Take<std::byte>(scales.Bytes()),
                      scratch.Take<std::byte>(query_bytes), scratch.Take<float>(queries),
                      scratch.Take<float>(plan.past_length), scratch.Take<std::byte>(workspace_bytes));
  };
  Scratch counter;
  take(counter);
  if (absl::Status status = inputs_.Reserve(counter.UsedBytes()); !status.ok()) return status;
  if (absl::Status status = scores_.Reserve(plan.past_length * sizeof(float)); !status.ok()) return status;
  Scratch scratch(inputs_.data());
  const auto [key_memory, scale_memory, query_memory, lse_memory, score_memory, workspace] = take(scratch);

  task_ = &task;
  if (absl::Status status = Upload(context, keys, key_memory); !status.ok()) return status;
  if (absl::Status status = Upload(context, scales, scale_memory); !status.ok()) return status;
  if (absl::Status status = UploadBytes(task.queries.data, query_bytes, query_memory); !status.ok()) return status;
  if (task.lse != nullptr) {
    absl::Status status = UploadBytes(task.lse, queries * sizeof(float), reinterpret_cast<std::byte*>(lse_memory));
    if (!status.ok()) return status;
  }
  ScoreTask staged = task;
  staged.keys = keys.At(key_memory, memory_.Place());
  if (scales.Bytes() > 0) staged.key_scales = scales.At(scale_memory, memory_.Place());
  staged.queries = {query_memory, task.queries.dtype, memory_.Place()};
  staged.lse = task.lse == nullptr ? nullptr : lse_memory;
  staged.token_scores = score_memory;
  batch.score = absl::MakeConstSpan(&staged, 1);
  on_device_ = ExecutionContext();
  on_device_.cancelled = context.cancelled;
  on_device_.max_sm_count = context.max_sm_count;
  on_device_.stream = stream_;
  on_device_.failure = reinterpret_cast<uint64_t*>(failure_.data());
  *on_device_.failure = kNoFailure;
  absl::Status status = device_.Enqueue(plan, batch, absl::MakeSpan(workspace, workspace_bytes), on_device_);
  if (!status.ok()) return status;
  return memory_.CopyAsync(scores_.data(), score_memory, plan.past_length * sizeof(float), stream_);
}

absl::Status ScoreSlot::Upload(const ExecutionContext& context, const StagedRows& rows, std::byte* to) {
  for (size_t begin = 0; begin < rows.Bytes(); begin += kPinnedBytes) {
    const size_t end = std::min(rows.Bytes(), begin + kPinnedBytes);
    // The pieces before are still being read.
    if (absl::Status status = memory_.Synchronize(stream_); !status.ok()) return status;
    RunParallel(context, (end - begin + kPieceBytes - 1) / kPieceBytes, [&](size_t piece) {
      const size_t first = begin + piece * kPieceBytes;
      rows.Copy(first, std::min(end, first + kPieceBytes), pinned_.data() + (first - begin));
    });
    if (absl::Status status = memory_.CopyAsync(to + begin, pinned_.data(), end - begin, stream_); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

absl::Status ScoreSlot::UploadBytes(const void* from, size_t bytes, std::byte* to) {
  return memory_.CopyAsync(to, from, bytes, stream_);
}

absl::Status ScoreSlot::Finish(const Plan& plan) {
  const ScoreTask* task = std::exchange(task_, nullptr);
  absl::Status status = device_.Wait(on_device_);
  if (!status.ok()) return status;
  if (plan.past_length > 0) std::memcpy(task->token_scores, scores_.data(), plan.past_length * sizeof(float));
  return absl::OkStatus();
}

}  // namespace chunkkv
