#include "kernels/cuda/rotate_stage.h"

#include <algorithm>
#include <cstdint>

#include "chunkkv/kernels/status.h"
#include "kernels/cuda/rotate_kernel.h"
#include "kernels/cuda/uploader.h"

namespace chunkkv::cuda {
namespace {

// Neighbours with the same rope share its frequencies.
bool SharesRope(absl::Span<const RotateTask> tasks, size_t i) { return i > 0 && tasks[i].rope == tasks[i - 1].rope; }

size_t UploadWords(absl::Span<const RotateTask> tasks) {
  size_t words = 0;
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (tasks[i].rope != nullptr && !SharesRope(tasks, i)) {
      words += Uploader::Words<double>(tasks[i].rope->inv_freq.size());
    }
  }
  return words;
}

absl::Status StartTasks(absl::Span<const RotateTask> tasks, Scratch scratch, const Stage& stage) {
  Uploader uploader(stage, scratch.Take<uint32_t>(UploadWords(tasks)));
  RotateRowsParams params;
  params.task_count = static_cast<int32_t>(tasks.size());
  params.most_rows = 0;
  const double* inv_freq = nullptr;
  for (size_t i = 0; i < tasks.size(); ++i) {
    const RotateTask& task = tasks[i];
    const RopeShape& rope = *task.rope;
    if (!SharesRope(tasks, i)) inv_freq = uploader.Add(rope.inv_freq.data(), rope.inv_freq.size());
    params.tasks[i] = {task.source.data,
                       task.destination,
                       task.positions.data(),
                       inv_freq,
                       static_cast<int32_t>(task.positions.size()),
                       task.source.head_count,
                       task.source.head_size,
                       rope.first_dim,
                       rope.rotary_dims / 2,
                       static_cast<int32_t>(task.source.dtype),
                       rope.interleaved};
    params.most_rows = std::max(params.most_rows, params.tasks[i].count);
  }
  if (absl::Status status = uploader.Finish(); !status.ok()) return status;
  return stage.Run(Blocks(params.most_rows, RotateKernel::kRowsPerBlock) * params.task_count,
                   [&](const LaunchShape& shape) { return stage.launcher.Rotate(params, shape); });
}

}  // namespace

absl::Status StartRotates(absl::Span<const RotateTask> tasks, Scratch scratch, const Stage& stage) {
  for (size_t begin = 0; begin < tasks.size(); begin += kRotateTasksPerLaunch) {
    absl::Status status = StartTasks(tasks.subspan(begin, kRotateTasksPerLaunch), scratch, stage);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

size_t RotateScratchBytes(absl::Span<const RotateTask> tasks) {
  size_t words = 0;
  for (size_t begin = 0; begin < tasks.size(); begin += kRotateTasksPerLaunch) {
    words = std::max(words, UploadWords(tasks.subspan(begin, kRotateTasksPerLaunch)));
  }
  Scratch counter;
  counter.Take<uint32_t>(words);
  return counter.UsedBytes();
}

}  // namespace chunkkv::cuda
