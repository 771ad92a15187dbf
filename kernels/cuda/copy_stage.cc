#include "kernels/cuda/copy_stage.h"

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/rows_of_view.h"

namespace chunkkv::cuda {
namespace {

constexpr int64_t kItemBytes = 32 << 10;  // that a block copies at once
constexpr int64_t kMostItemRows = 1 << 16;

// Either kind of task as one: dense rows, and rows `positions` of a cache.
template <typename Byte>
struct Copy {
  const BasicRowsView<Byte>& cache;
  std::byte* dense;
  absl::Span<const int32_t> positions;

  int64_t HeadBytes() const { return static_cast<int64_t>(DTypeSize(cache.dtype)) * cache.head_size; }
  int64_t RowBytes() const { return HeadBytes() * cache.head_count; }
};

Copy<const std::byte> CopyOf(const GatherTask& task) { return {task.source, task.destination, task.positions}; }
Copy<std::byte> CopyOf(const ScatterTask& task) {
  return {task.destination, const_cast<std::byte*>(task.source), task.positions};
}

// The largest word that divides all addresses and strides.
template <typename Byte>
int32_t UnitBytes(const Copy<Byte>& copy) {
  const auto all = reinterpret_cast<uintptr_t>(copy.cache.data) | reinterpret_cast<uintptr_t>(copy.dense) |
                   static_cast<uintptr_t>(copy.cache.token_stride_bytes) |
                   static_cast<uintptr_t>(copy.cache.head_stride_bytes) |
                   static_cast<uintptr_t>(copy.cache.block_stride_bytes) | static_cast<uintptr_t>(copy.HeadBytes());
  return all == 0 ? 16 : static_cast<int32_t>(std::min<uintptr_t>(16, all & (~all + 1)));
}

template <typename Byte>
CopyRowsTask TaskOf(const Copy<Byte>& copy, int32_t unit_bytes) {
  CopyRowsTask task;
  task.cache = RowsOfView(copy.cache);
  task.dense = copy.dense;
  task.positions = copy.positions.data();
  task.count = static_cast<int32_t>(copy.positions.size());
  task.token_count = static_cast<int32_t>(copy.cache.token_count);
  task.is_empty = copy.RowBytes() == 0;
  task.unit_count = task.is_empty ? 1 : static_cast<int32_t>(copy.RowBytes() / unit_bytes);
  task.by_row = MakeFastDivisor(static_cast<uint32_t>(task.unit_count));
  task.by_head = MakeFastDivisor(static_cast<uint32_t>(std::max<int64_t>(1, copy.HeadBytes() / unit_bytes)));
  task.item_tokens =
      static_cast<int32_t>(std::clamp<int64_t>(kItemBytes / std::max<int64_t>(1, copy.RowBytes()), 1, kMostItemRows));
  return task;
}

// start(unit_bytes, params, shape)
template <typename Task, typename Start>
absl::Status StartCopies(absl::Span<const Task> tasks, const Stage& stage, Start start) {
  for (int32_t unit_bytes = 16; unit_bytes >= 1; unit_bytes /= 2) {
    CopyRowsParams params;
    params.failure = stage.context.failure;
    params.task_count = 0;
    params.most_items = 0;
    const auto launch = [&] {
      absl::Status status = stage.Run(int64_t{params.task_count} * params.most_items,
                                      [&](const LaunchShape& shape) { return start(unit_bytes, params, shape); });
      params.task_count = 0;
      params.most_items = 0;
      return status;
    };
    for (const Task& task : tasks) {
      const auto copy = CopyOf(task);
      if (copy.positions.empty() || UnitBytes(copy) != unit_bytes) continue;
      CopyRowsTask& next = params.tasks[params.task_count++];
      next = TaskOf(copy, unit_bytes);
      params.most_items = std::max(params.most_items, static_cast<int32_t>(Blocks(next.count, next.item_tokens)));
      if (params.task_count < kCopyTasksPerLaunch) continue;
      if (absl::Status status = launch(); !status.ok()) return status;
    }
    if (params.task_count == 0) continue;
    if (absl::Status status = launch(); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status StartGathers(absl::Span<const GatherTask> tasks, const Stage& stage) {
  return StartCopies(tasks, stage, [&](int32_t unit_bytes, const CopyRowsParams& params, const LaunchShape& shape) {
    return stage.launcher.Gather(unit_bytes, params, shape);
  });
}

absl::Status StartScatters(absl::Span<const ScatterTask> tasks, const Stage& stage) {
  return StartCopies(tasks, stage, [&](int32_t unit_bytes, const CopyRowsParams& params, const LaunchShape& shape) {
    return stage.launcher.Scatter(unit_bytes, params, shape);
  });
}

}  // namespace chunkkv::cuda
