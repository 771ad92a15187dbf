#include "kernels/cuda/copy_stage.h"

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/rows_of_view.h"

namespace chunkkv::cuda {
namespace {

constexpr int64_t kItemBytes = 32 << 10;  // that a block copies at once

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
  task.item_tokens = static_cast<int32_t>(
      std::clamp<int64_t>(kItemBytes / std::max<int64_t>(1, copy.RowBytes()), 1, kMostCopyItemRows));
  return task;
}

// Gathers tasks of one unit, and starts a kernel for as many as it takes: start(params, shape).
template <typename StartKernel>
class Launches {
 public:
  Launches(const Stage& stage, StartKernel start) : stage_(stage), start_(start) {
    params_.failure = stage.context.failure;
    params_.task_count = 0;
  }

  absl::Status Add(const CopyRowsTask& task) {
    const int64_t items = Blocks(task.count, task.item_tokens);
    // The kernel counts items in 31 bits.
    if ((params_.task_count + 1) * std::max(most_items_, items) > INT32_MAX) {
      if (absl::Status status = Start(); !status.ok()) return status;
    }
    params_.tasks[params_.task_count++] = task;
    most_items_ = std::max(most_items_, items);
    return params_.task_count < kCopyTasksPerLaunch ? absl::OkStatus() : Start();
  }

  // Starts what has been added. Errors: those of launches.
  absl::Status Start() {
    if (params_.task_count == 0) return absl::OkStatus();
    params_.by_task = MakeFastDivisor(static_cast<uint32_t>(most_items_));
    absl::Status status = stage_.Run(params_.task_count * most_items_,
                                     [this](const LaunchShape& shape) { return start_(params_, shape); });
    params_.task_count = 0;
    most_items_ = 0;
    return status;
  }

 private:
  const Stage& stage_;
  StartKernel start_;
  CopyRowsParams params_;
  int64_t most_items_ = 0;  // of any task
};

// start(unit_bytes, params, shape)
template <typename Task, typename Start>
absl::Status StartCopies(absl::Span<const Task> tasks, const Stage& stage, Start start) {
  for (int32_t unit_bytes = 16; unit_bytes >= 1; unit_bytes /= 2) {
    Launches launches(stage, [&](const CopyRowsParams& params, const LaunchShape& shape) {
      return start(unit_bytes, params, shape);
    });
    for (const Task& task : tasks) {
      const auto copy = CopyOf(task);
      if (copy.positions.empty() || UnitBytes(copy) != unit_bytes) continue;
      if (absl::Status status = launches.Add(TaskOf(copy, unit_bytes)); !status.ok()) return status;
    }
    if (absl::Status status = launches.Start(); !status.ok()) return status;
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
