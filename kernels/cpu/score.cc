#include "kernels/cpu/score.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "kernels/common/lanes.h"
#include "kernels/cpu/float_rows.h"
#include "kernels/cpu/window_score.h"

namespace chunkkv::cpu {
namespace {

constexpr int64_t kSliceTokens = 1024;
// Rows that are added up in float32, which keeps each sum within 2e-6, before they go into float64.
constexpr int64_t kRowsInFloat = 32;
constexpr int64_t kRowsBetweenLooks = 8 * kRowsInFloat;  // at cancellation

struct Sums {
  Sums(int64_t slice_count, Scratch& scratch)
      : rows(scratch.Take<float>(kSliceTokens * LaneCount(slice_count))),
        total(scratch.Take<double>(kSliceTokens * LaneCount(slice_count))) {}
  float* rows;    // [lanes, kSliceTokens]
  double* total;  // [lanes, kSliceTokens]
};

int64_t SliceCount(int64_t tokens) { return (tokens + kSliceTokens - 1) / kSliceTokens; }

// Rows [row_count, row_length] of one layer's scores.
struct ScoreRows {
  DenseView elements;
  int64_t row_count = 0;
  int64_t row_length = 0;
};

enum class SliceEnd { kSummed, kCancelled, kNegative, kNonFinite };

// total[j] = sum over all rows of elements begin + j, for `count` elements.
SliceEnd AddSlice(const ScoreRows& rows, int64_t begin, int64_t count, float* sums, double* total,
                  const ExecutionContext& context) {
  const DType dtype = rows.elements.dtype;
  const auto element_bytes = static_cast<int64_t>(DTypeSize(dtype));
  std::fill_n(total, count, 0.0);
  for (int64_t first = 0; first < rows.row_count; first += kRowsInFloat) {
    if (first > 0 && first % kRowsBetweenLooks == 0 && IsCancelled(context)) return SliceEnd::kCancelled;
    std::fill_n(sums, count, 0.0f);
    for (int64_t row = first; row < std::min(first + kRowsInFloat, rows.row_count); ++row) {
      const std::byte* from = rows.elements.data + (row * rows.row_length + begin) * element_bytes;
      const float least = AddRow(from, dtype, count, sums);
      if (least < 0) return SliceEnd::kNegative;
      if (!(least >= 0)) return SliceEnd::kNonFinite;
    }
    for (int64_t j = 0; j < count; ++j) total[j] += sums[j];
  }
  return SliceEnd::kSummed;
}

// Adds up the rows over the tokens [0, P), and looks at all of their elements. Says what is wrong with the first slice
// that is refused.
absl::Status AddRows(const Plan& plan, const ScoreTask& task, const ScoreRows& rows, const Sums& sums,
                     const ExecutionContext& context) {
  struct Refusal {
    size_t slice = SIZE_MAX;
    SliceEnd end = SliceEnd::kCancelled;
  };
  std::array<Refusal, kMaxLanes> refusals;  // a lane's first is its last
  const bool complete = RunInLanes(context, SliceCount(rows.row_length), [&](size_t slice, size_t lane) {
    const int64_t begin = static_cast<int64_t>(slice) * kSliceTokens;
    const int64_t count = std::min(kSliceTokens, rows.row_length - begin);
    double* total = sums.total + lane * kSliceTokens;
    const SliceEnd end = AddSlice(rows, begin, count, sums.rows + lane * kSliceTokens, total, context);
    if (end != SliceEnd::kSummed) {
      refusals[lane] = {slice, end};
      return false;
    }
    // A slice may reach into the window, whose elements are looked at but not kept.
    const int64_t kept = std::clamp<int64_t>(plan.past_length - begin, 0, count);
    for (int64_t j = 0; j < kept; ++j) task.token_scores[begin + j] = static_cast<float>(total[j]);
    return true;
  });
  if (complete) return absl::OkStatus();
  const auto first = std::min_element(refusals.begin(), refusals.end(),
                                      [](const Refusal& a, const Refusal& b) { return a.slice < b.slice; });
  if (first->end == SliceEnd::kNegative) return NegativeScoresStatus(task.layer);
  return first->end == SliceEnd::kNonFinite ? NonFiniteStatus(task.layer) : CancelledStatus();
}

}  // namespace

absl::Status ScoreTokens(const Plan& plan, const ScoreTask& task, Scratch scratch, const ExecutionContext& context) {
  absl::Status status;
  if (plan.source == ScoreSource::kQueryWindow) {
    status = ScoreByWindow(plan, task, scratch, context);
  } else if (plan.source == ScoreSource::kAttention) {
    const int64_t rows = plan.layers[task.layer].query_head_count * std::min(plan.window_length, plan.token_count);
    status = AddRows(plan, task, {task.attention, rows, plan.token_count}, Sums(SliceCount(plan.token_count), scratch),
                     context);
  } else {
    status = AddRows(plan, task, {task.token_scores_in, 1, plan.past_length},
                     Sums(SliceCount(plan.token_count), scratch), context);
  }
  if (status.ok() && !AllFinite(task.token_scores, plan.past_length)) return NonFiniteStatus(task.layer);
  return status;
}

size_t ScoreScratchBytes(const Plan& plan, const ScoreTask& task) {
  if (plan.source == ScoreSource::kQueryWindow) return WindowScratchBytes(plan, task);
  Scratch counter;
  const Sums sums(SliceCount(plan.token_count), counter);
  return counter.UsedBytes();
}

}  // namespace chunkkv::cpu
