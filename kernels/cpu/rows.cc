#include "kernels/cpu/rows.h"

#include <algorithm>

#include "kernels/common/lanes.h"
#include "kernels/cpu/copy_rows.h"
#include "kernels/cpu/rotate.h"

namespace chunkkv::cpu {
namespace {

constexpr size_t kPieceBytes = 256 << 10;
constexpr size_t kBytesPastCaches = 4 << 20;  // destinations of a batch from which on they are not worth caching

size_t RowBytes(const RowsView& rows) { return DTypeSize(rows.dtype) * rows.head_count * rows.head_size; }

size_t RowsInPiece(const RowsView& rows) {
  return std::max<size_t>(1, kPieceBytes / std::max<size_t>(1, RowBytes(rows)));
}

template <typename Task>
size_t PieceCount(const Task& task) {
  const size_t rows = RowsInPiece(task.source);
  return (task.positions.size() + rows - 1) / rows;
}

// Pieces of the task that has most; the others leave some of theirs empty.
template <typename Task>
size_t PiecesPerTask(absl::Span<const Task> tasks) {
  size_t pieces = 0;
  for (const Task& task : tasks) pieces = std::max(pieces, PieceCount(task));
  return pieces;
}

struct RowRange {
  size_t begin = 0;
  size_t end = 0;
};

template <typename Task>
RowRange RangeOf(const Task& task, size_t piece) {
  const size_t rows = RowsInPiece(task.source);
  return {std::min(task.positions.size(), piece * rows), std::min(task.positions.size(), (piece + 1) * rows)};
}

RotateScratch TakeRotateScratch(size_t rotary_dims, Scratch& scratch) {
  RotateScratch taken;
  taken.cosines = scratch.Take<double>(rotary_dims / 2);
  taken.sines = scratch.Take<double>(rotary_dims / 2);
  taken.dims = scratch.Take<float>(rotary_dims);
  return taken;
}

size_t LargestRotaryDims(absl::Span<const RotateTask> tasks) {
  size_t dims = 0;
  for (const RotateTask& task : tasks) {
    if (task.rope != nullptr) dims = std::max(dims, static_cast<size_t>(std::max(0, task.rope->rotary_dims)));
  }
  return dims;
}

size_t RotateLaneBytes(absl::Span<const RotateTask> tasks) {
  Scratch counter;
  TakeRotateScratch(LargestRotaryDims(tasks), counter);
  return counter.UsedBytes();
}

}  // namespace

absl::Status GatherAll(absl::Span<const GatherTask> tasks, const ExecutionContext& context) {
  size_t bytes = 0;
  for (const GatherTask& task : tasks) bytes += task.positions.size() * RowBytes(task.source);
  const bool past_caches = bytes >= kBytesPastCaches;
  const size_t pieces = PiecesPerTask(tasks);
  const bool complete = RunInLanes(context, tasks.size() * pieces, [&](size_t piece, size_t) {
    const GatherTask& task = tasks[piece / pieces];
    const RowRange range = RangeOf(task, piece % pieces);
    return CopyRows(task.source, task.positions.subspan(range.begin, range.end - range.begin),
                    task.destination + range.begin * RowBytes(task.source), past_caches);
  });
  if (complete) return absl::OkStatus();
  return IsCancelled(context) ? CancelledStatus() : BadPositionStatus();
}

absl::Status RotateAll(absl::Span<const RotateTask> tasks, Scratch scratch, const ExecutionContext& context) {
  const size_t pieces = PiecesPerTask(tasks);
  const size_t lane_bytes = RotateLaneBytes(tasks);
  std::byte* memory = scratch.Take<std::byte>(lane_bytes * LaneCount(tasks.size() * pieces));
  const bool complete = RunInLanes(context, tasks.size() * pieces, [&](size_t piece, size_t lane) {
    const RotateTask& task = tasks[piece / pieces];
    const RowRange range = RangeOf(task, piece % pieces);
    Scratch of_lane(memory + lane * lane_bytes);
    RotateRows(task, range.begin, range.end, TakeRotateScratch(task.rope->rotary_dims, of_lane));
    return true;
  });
  return complete ? absl::OkStatus() : CancelledStatus();
}

size_t RotateScratchBytes(absl::Span<const RotateTask> tasks) {
  return RotateLaneBytes(tasks) * LaneCount(tasks.size() * PiecesPerTask(tasks));
}

}  // namespace chunkkv::cpu
