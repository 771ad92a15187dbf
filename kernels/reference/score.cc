#include "kernels/reference/score.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/common/half.h"
#include "kernels/common/row_address.h"
#include "kernels/common/run.h"

namespace chunkkv::reference {
namespace {

bool IsFiniteFloat(double value) { return std::isfinite(static_cast<float>(value)); }

struct Arrays {
  Arrays(const Plan& plan, const ScoreTask& task, Scratch& scratch) {
    sums = scratch.Take<double>(plan.past_length);
    if (plan.source != ScoreSource::kQueryWindow) return;
    keys = scratch.Take<float>(plan.token_count * plan.layers[task.layer].key_head_size);
    query = scratch.Take<float>(plan.layers[task.layer].key_head_size);
    logits = scratch.Take<double>(plan.token_count);
  }
  double* sums = nullptr;    // [P]
  float* keys = nullptr;     // [L, D], one KV head
  float* query = nullptr;    // [D]
  double* logits = nullptr;  // [L]
};

float KeyScale(const ScoreTask& task, int64_t token, int64_t kv_head) {
  const RowsView& scales = task.key_scales;
  if (scales.data == nullptr) return 1;
  return LoadElement(RowAddress(scales, token) + kv_head * scales.head_stride_bytes, DType::kF32, 0);
}

// logits[j] for the keys that query `row` of the window sees; false where one is not finite.
bool ComputeLogits(const AttentionShape& shape, const Arrays& arrays, int64_t visible) {
  const int64_t head_size = shape.key_head_size;
  for (int64_t j = 0; j < visible; ++j) {
    double dot = 0;
    for (int64_t d = 0; d < head_size; ++d) dot += double{arrays.query[d]} * arrays.keys[j * head_size + d];
    double logit = shape.scale * dot;
    if (!IsFiniteFloat(logit)) return false;
    if (shape.softcap > 0) logit = shape.softcap * std::tanh(logit / shape.softcap);
    arrays.logits[j] = logit;
  }
  return true;
}

// log(sum of exp(logits)), the head's sink logit included.
double LogSumExp(const AttentionShape& shape, int64_t head, const double* logits, int64_t visible) {
  const bool has_sink = !shape.sink_logits.empty();
  double largest = has_sink ? shape.sink_logits[head] : -std::numeric_limits<double>::infinity();
  for (int64_t j = 0; j < visible; ++j) largest = std::max(largest, logits[j]);
  double sum = has_sink ? std::exp(shape.sink_logits[head] - largest) : 0;
  for (int64_t j = 0; j < visible; ++j) sum += std::exp(logits[j] - largest);
  return largest + std::log(sum);
}

absl::Status SumOverQueries(const Plan& plan, const ScoreTask& task, const Arrays& arrays,
                            const ExecutionContext& context) {
  if (!HasAllRows(task.keys) || !HasAllRows(task.key_scales)) return BadPositionStatus();
  const AttentionShape& shape = plan.layers[task.layer];
  const int64_t head_size = shape.key_head_size;
  const int64_t heads_per_kv = shape.query_head_count / shape.kv_head_count;
  const int64_t queries = std::min(plan.window_length, plan.token_count);
  for (int64_t head = 0; head < shape.query_head_count; ++head) {
    if (head % heads_per_kv == 0) {
      for (int64_t j = 0; j < plan.token_count; ++j) {
        const int64_t kv_head = head / heads_per_kv;
        const std::byte* row = RowAddress(task.keys, j) + kv_head * task.keys.head_stride_bytes;
        const float scale = KeyScale(task, j, kv_head);
        for (int64_t d = 0; d < head_size; ++d) {
          arrays.keys[j * head_size + d] = scale * LoadElement(row, shape.dtype, d);
        }
      }
    }
    for (int64_t i = 0; i < queries; ++i) {
      if (IsCancelled(context)) return CancelledStatus();
      for (int64_t d = 0; d < head_size; ++d) {
        const int64_t element = (i * shape.query_head_count + head) * head_size + d;
        arrays.query[d] = LoadElement(task.queries.data, task.queries.dtype, element);
        if (!std::isfinite(arrays.query[d])) return NonFiniteStatus(task.layer);
      }
      const int64_t visible = plan.token_count - queries + i + 1;
      if (!ComputeLogits(shape, arrays, visible)) return NonFiniteStatus(task.layer);
      const double log_sum = task.lse != nullptr ? double{task.lse[i * shape.query_head_count + head]}
                                                 : LogSumExp(shape, head, arrays.logits, visible);
      if (!std::isfinite(log_sum)) return NonFiniteStatus(task.layer);
      for (int64_t j = 0; j < plan.past_length; ++j) arrays.sums[j] += std::exp(arrays.logits[j] - log_sum);
    }
  }
  return absl::OkStatus();
}

absl::Status SumOverProbabilities(const Plan& plan, const ScoreTask& task, double* sums,
                                  const ExecutionContext& context) {
  const int64_t length = plan.token_count;
  const int64_t rows = plan.layers[task.layer].query_head_count * std::min(plan.window_length, length);
  for (int64_t row = 0; row < rows; ++row) {
    if (IsCancelled(context)) return CancelledStatus();
    for (int64_t j = 0; j < length; ++j) {
      const float probability = LoadElement(task.attention.data, task.attention.dtype, row * length + j);
      if (!std::isfinite(probability)) return NonFiniteStatus(task.layer);
      if (probability < 0) return NegativeScoresStatus(task.layer);
      if (j < plan.past_length) sums[j] += probability;
    }
  }
  return absl::OkStatus();
}

absl::Status CopyScores(const Plan& plan, const ScoreTask& task, double* sums) {
  for (int64_t j = 0; j < plan.past_length; ++j) {
    sums[j] = LoadElement(task.token_scores_in.data, task.token_scores_in.dtype, j);
    if (!std::isfinite(sums[j])) return NonFiniteStatus(task.layer);
    if (sums[j] < 0) return NegativeScoresStatus(task.layer);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ScoreTokens(const Plan& plan, const ScoreTask& task, Scratch scratch, const ExecutionContext& context) {
  const Arrays arrays(plan, task, scratch);
  std::fill_n(arrays.sums, plan.past_length, 0.0);
  absl::Status status;
  if (plan.source == ScoreSource::kQueryWindow) status = SumOverQueries(plan, task, arrays, context);
  if (plan.source == ScoreSource::kAttention) status = SumOverProbabilities(plan, task, arrays.sums, context);
  if (plan.source == ScoreSource::kTokenScores) status = CopyScores(plan, task, arrays.sums);
  if (!status.ok()) return status;
  for (int64_t j = 0; j < plan.past_length; ++j) {
    task.token_scores[j] = static_cast<float>(arrays.sums[j]);
    if (!std::isfinite(task.token_scores[j])) return NonFiniteStatus(task.layer);
  }
  return absl::OkStatus();
}

size_t ScoreScratchBytes(const Plan& plan, const ScoreTask& task) {
  Scratch counter;
  const Arrays arrays(plan, task, counter);
  return counter.UsedBytes();
}

}  // namespace chunkkv::reference
