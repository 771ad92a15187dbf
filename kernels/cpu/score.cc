#include "kernels/cpu/score.h"

#include <algorithm>

#include "kernels/common/lanes.h"
#include "kernels/cpu/float_rows.h"
#include "kernels/cpu/window_score.h"

namespace chunkkv::cpu {
namespace {

constexpr int64_t kSliceTokens = 1024;

// Adds up `row_count` rows of `row_length` elements over the tokens [0, P), and looks at all of them.
absl::Status AddRows(const Plan& plan, const ScoreTask& task, const DenseView& rows, int64_t row_count,
                     int64_t row_length, float* spare, const ExecutionContext& context) {
  const auto element_bytes = static_cast<int64_t>(DTypeSize(rows.dtype));
  std::atomic<bool> negative{false};
  const bool complete =
      RunInLanes(context, (row_length + kSliceTokens - 1) / kSliceTokens, [&](size_t slice, size_t lane) {
        const int64_t begin = static_cast<int64_t>(slice) * kSliceTokens;
        const int64_t count = std::min(kSliceTokens, row_length - begin);
        // A slice may reach into the window, whose elements are looked at but not kept.
        float* sums = spare + lane * kSliceTokens;
        std::fill_n(sums, count, 0.0f);
        for (int64_t row = 0; row < row_count; ++row) {
          const float least = AddRow(rows.data + (row * row_length + begin) * element_bytes, rows.dtype, count, sums);
          if (least < 0) negative.store(true, std::memory_order_relaxed);
          if (!(least >= 0)) return false;
        }
        const int64_t kept = std::clamp<int64_t>(plan.past_length - begin, 0, count);
        std::copy_n(sums, kept, task.token_scores + std::min(begin, plan.past_length));
        return true;
      });
  if (negative) return NegativeScoresStatus(task.layer);
  if (!complete) return IsCancelled(context) ? CancelledStatus() : NonFiniteStatus(task.layer);
  return absl::OkStatus();
}

float* TakeSlices(const Plan& plan, Scratch& scratch) {
  return scratch.Take<float>(kSliceTokens * LaneCount((plan.token_count + kSliceTokens - 1) / kSliceTokens));
}

}  // namespace

absl::Status ScoreTokens(const Plan& plan, const ScoreTask& task, Scratch scratch, const ExecutionContext& context) {
  absl::Status status;
  if (plan.source == ScoreSource::kQueryWindow) {
    status = ScoreByWindow(plan, task, scratch, context);
  } else if (plan.source == ScoreSource::kAttention) {
    const int64_t rows = plan.layers[task.layer].query_head_count * std::min(plan.window_length, plan.token_count);
    status = AddRows(plan, task, task.attention, rows, plan.token_count, TakeSlices(plan, scratch), context);
  } else {
    status = AddRows(plan, task, task.token_scores_in, 1, plan.past_length, TakeSlices(plan, scratch), context);
  }
  if (status.ok() && !AllFinite(task.token_scores, plan.past_length)) return NonFiniteStatus(task.layer);
  return status;
}

size_t ScoreScratchBytes(const Plan& plan, const ScoreTask& task) {
  if (plan.source == ScoreSource::kQueryWindow) return WindowScratchBytes(plan, task);
  Scratch counter;
  TakeSlices(plan, counter);
  return counter.UsedBytes();
}

}  // namespace chunkkv::cpu
