#include "kernels/cpu/rows.h"

#include <algorithm>

#include "kernels/common/lanes.h"
#include "kernels/cpu/copy_rows.h"
#include "kernels/cpu/rotate.h"
#include "kernels/cpu/scatter_rows.h"

namespace chunkkv::cpu {
namespace {

constexpr size_t kPieceBytes = 256 << 10;
constexpr size_t kBytesPastCaches = 4 << 20;  // destinations of a batch from which on they are not worth caching

template <typename Byte>
size_t RowBytes(const BasicRowsView<Byte>& rows) {
  return DTypeSize(rows.dtype) * rows.head_count * rows.head_size;
}

size_t RowBytes(const GatherTask& task) { return RowBytes(task.source); }
size_t RowBytes(const RotateTask& task) { return RowBytes(task.source); }
size_t RowBytes(const ScatterTask& task) { return RowBytes(task.destination); }

template <typename Task>
size_t RowsInPiece(const Task& task) {
  return std::max<size_t>(1, kPieceBytes / std::max<size_t>(1, RowBytes(task)));
}

template <typename Task>
size_t PieceCount(const Task& task) {
  const size_t rows = RowsInPiece(task);
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
  const size_t rows = RowsInPiece(task);
  return {std::min(task.positions.size(), piece * rows), std::min(task.positions.size(), (piece + 1) * rows)};
}

absl::Span<const int32_t> PositionsOf(const RowRange& range, absl::Span<const int32_t> positions) {
  return positions.subspan(range.begin, range.end - range.begin);
}

bool CopyPiece(const GatherTask& task, const RowRange& range, bool past_caches) {
  return CopyRows(task.source, PositionsOf(range, task.positions), task.destination + range.begin * RowBytes(task),
                  past_caches);
}

bool CopyPiece(const ScatterTask& task, const RowRange& range, bool past_caches) {
  return ScatterRows(task.source + range.begin * RowBytes(task), PositionsOf(range, task.positions), task.destination,
                     past_caches);
}

// Gathers or scatters.
template <typename Task>
absl::Status CopyAll(absl::Span<const Task> tasks, const ExecutionContext& context) {
  size_t bytes = 0;
  for (const Task& task : tasks) bytes += task.positions.size() * RowBytes(task);
  const bool past_caches = bytes >= kBytesPastCaches;
  const size_t pieces = PiecesPerTask(tasks);
  const bool complete = RunInLanes(context, tasks.size() * pieces, [&](size_t piece, size_t) {
    const Task& task = tasks[piece / pieces];
    return CopyPiece(task, RangeOf(task, piece % pieces), past_caches);
  });
  if (complete) return absl::OkStatus();
  return IsCancelled(context) ? CancelledStatus() : BadPositionStatus();
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
  return CopyAll(tasks, context);
}

absl::Status ScatterAll(absl::Span<const ScatterTask> tasks, const ExecutionContext& context) {
  return CopyAll(tasks, context);
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
