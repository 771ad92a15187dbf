#include "kernels/cuda/score_stage.h"

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/add_scores.h"
#include "kernels/cuda/window_score_stage.h"

namespace chunkkv::cuda {
namespace {

constexpr int64_t kMostSlices = 8;
constexpr int64_t kLeastSliceRows = 64;
constexpr size_t kLayersAtOnce = 16;

// Rows of probabilities (or one row of scores) of one task, and how they are cut.
struct Matrix {
  Matrix(const Plan& plan, const ScoreTask& task) {
    const bool is_attention = plan.source == ScoreSource::kAttention;
    columns = is_attention ? plan.token_count : plan.past_length;
    if (is_attention) {
      rows = plan.layers[task.layer].query_head_count * std::min(plan.window_length, plan.token_count);
    }
    slices = std::clamp<int64_t>(rows / kLeastSliceRows, 1, kMostSlices);
  }
  bool operator==(const Matrix&) const = default;
  int64_t rows = 1;
  int64_t columns = 0;
  int64_t slices = 1;
};

float* TakePartials(const Plan& plan, const Matrix& matrix, size_t layers, Scratch& scratch) {
  return scratch.Take<float>(layers * matrix.slices * plan.past_length);
}

absl::Status StartLayers(const Plan& plan, absl::Span<const ScoreTask> tasks, int32_t first_order, Scratch scratch,
                         const Stage& stage) {
  const Matrix matrix(plan, tasks[0]);
  float* partials = TakePartials(plan, matrix, tasks.size(), scratch);
  ProbabilityParams params;
  params.column_count = matrix.columns;
  params.past_length = plan.past_length;
  params.row_count = matrix.rows;
  params.slice_rows = Blocks(matrix.rows, matrix.slices);
  params.slice_count = static_cast<int32_t>(matrix.slices);
  params.layer_count = static_cast<int32_t>(tasks.size());
  params.failure = stage.context.failure;
  AddPartialsParams sums;
  sums.layer_count = params.layer_count;
  for (size_t i = 0; i < tasks.size(); ++i) {
    const DenseView& view = plan.source == ScoreSource::kAttention ? tasks[i].attention : tasks[i].token_scores_in;
    const int32_t order = std::min<int32_t>(first_order + static_cast<int32_t>(i), kCopyOrder - 1);
    float* of_layer = partials + i * matrix.slices * plan.past_length;
    params.layers[i] = {view.data, of_layer, static_cast<int32_t>(view.dtype), tasks[i].layer, order};
    sums.layers[i] = {of_layer, tasks[i].token_scores, params.slice_count, tasks[i].layer, order};
  }
  const int64_t items = Blocks(matrix.columns, ProbabilityKernel::kThreads) * params.slice_count * params.layer_count;
  absl::Status status =
      stage.Run(items, [&](const LaunchShape& shape) { return stage.launcher.AddProbabilities(params, shape); });
  return status.ok() ? AddScores(plan, sums, stage) : status;
}

}  // namespace

absl::Status StartScores(const Plan& plan, absl::Span<const ScoreTask> tasks, Scratch scratch, const Stage& stage) {
  if (plan.source == ScoreSource::kQueryWindow) return StartWindowScores(plan, tasks, scratch, stage);
  for (size_t begin = 0; begin < tasks.size();) {
    size_t end = begin + 1;
    while (end < tasks.size() && end - begin < kLayersAtOnce &&
           Matrix(plan, tasks[begin]) == Matrix(plan, tasks[end])) {
      ++end;
    }
    absl::Status status =
        StartLayers(plan, tasks.subspan(begin, end - begin), static_cast<int32_t>(begin), scratch, stage);
    if (!status.ok()) return status;
    begin = end;
  }
  return absl::OkStatus();
}

size_t ScoreScratchBytes(const Plan& plan, absl::Span<const ScoreTask> tasks) {
  if (plan.source == ScoreSource::kQueryWindow) return WindowScoreScratchBytes(plan, tasks);
  size_t bytes = 0;
  for (const ScoreTask& task : tasks) {
    if (task.layer < 0 || task.layer >= static_cast<int32_t>(plan.layers.size())) continue;  // Enqueue refuses it
    Scratch counter;
    TakePartials(plan, Matrix(plan, task), std::min(tasks.size(), kLayersAtOnce), counter);
    bytes = std::max(bytes, counter.UsedBytes());
  }
  return bytes;
}

}  // namespace chunkkv::cuda
