#include "kernels/reference/select.h"

#include <algorithm>

#include "kernels/common/candidates.h"
#include "kernels/common/run.h"

namespace chunkkv::reference {
namespace {

constexpr int64_t kTokensBetweenLooks = 256;  // at cancellation

struct Arrays {
  Arrays(const Plan& plan, int64_t span_count, Scratch& scratch)
      : pooled(scratch.Take<double>(plan.past_length)),
        span_scores(scratch.Take<double>(span_count)),
        order(scratch.Take<int32_t>(span_count)),
        kept(scratch.Take<bool>(plan.token_count)) {}
  double* pooled;       // [P]
  double* span_scores;  // [spans]
  int32_t* order;       // [spans]
  bool* kept;           // [L]
};

double GroupScoreOf(const SelectTask& task, int64_t token) {
  double sum = 0;
  for (const float* scores : task.token_scores) sum += scores[token];
  return sum;
}

// Mean over `pool` tokens around each; beyond the edges the scores are zero, and count. False where cancelled.
bool Pool(const Plan& plan, const SelectTask& task, const ExecutionContext& context, double* pooled) {
  const int64_t half = plan.pool / 2;
  for (int64_t j = 0; j < plan.past_length; ++j) {
    if (j % kTokensBetweenLooks == 0 && IsCancelled(context)) return false;
    double sum = 0;
    for (int64_t k = std::max<int64_t>(0, j - half); k <= std::min(plan.past_length - 1, j + half); ++k) {
      sum += GroupScoreOf(task, k);
    }
    pooled[j] = sum / plan.pool;
  }
  return true;
}

double SpanScore(ChunkReduce reduce, const double* scores, int64_t count) {
  if (reduce == ChunkReduce::kMax) return *std::max_element(scores, scores + count);
  double sum = 0;
  for (int64_t j = 0; j < count; ++j) sum += scores[j];
  return reduce == ChunkReduce::kMean ? sum / static_cast<double>(count) : sum;
}

bool KeepBestSpans(const Plan& plan, const SelectTask& task, const Candidates& candidates, const Arrays& arrays,
                   const ExecutionContext& context) {
  const Spans spans(plan, candidates);
  if (!Pool(plan, task, context, arrays.pooled)) return false;
  for (int64_t s = 0; s < spans.Count(); ++s) {
    arrays.span_scores[s] = SpanScore(plan.chunk_reduce, arrays.pooled + spans.Begin(s), spans.End(s) - spans.Begin(s));
    arrays.order[s] = static_cast<int32_t>(s);
  }
  std::sort(arrays.order, arrays.order + spans.Count(), [&](int32_t a, int32_t b) {
    return arrays.span_scores[a] != arrays.span_scores[b] ? arrays.span_scores[a] > arrays.span_scores[b] : a < b;
  });
  int64_t remaining = candidates.room;
  for (int64_t i = 0; i < spans.Count() && remaining > 0; ++i) {
    const int64_t begin = spans.Begin(arrays.order[i]);
    const int64_t taken = std::min(spans.End(arrays.order[i]) - begin, remaining);
    std::fill_n(arrays.kept + begin, taken, true);
    remaining -= taken;
  }
  return true;
}

double RetainedMass(const float* scores, const bool* kept, int64_t past_length) {
  double kept_sum = 0, sum = 0;
  for (int64_t j = 0; j < past_length; ++j) {
    sum += scores[j];
    if (kept[j]) kept_sum += scores[j];
  }
  return sum == 0 ? 1.0 : kept_sum / sum;
}

}  // namespace

bool SelectPositions(const Plan& plan, const SelectTask& task, Scratch scratch, const ExecutionContext& context) {
  const Candidates candidates = CandidatesOf(plan, task.budget);
  const Arrays arrays(plan, Spans(plan, candidates).Count(), scratch);
  for (int64_t j = 0; j < plan.token_count; ++j) {
    arrays.kept[j] = j < candidates.begin || j >= candidates.end;
  }
  if (candidates.room > 0 && !KeepBestSpans(plan, task, candidates, arrays, context)) return false;
  int64_t count = 0;
  for (int64_t j = 0; j < plan.token_count; ++j) {
    if (arrays.kept[j]) task.positions[count++] = static_cast<int32_t>(j);
  }
  for (size_t i = 0; i < task.token_scores.size() && task.retained_mass != nullptr; ++i) {
    task.retained_mass[i] = RetainedMass(task.token_scores[i], arrays.kept, plan.past_length);
  }
  return true;
}

size_t SelectScratchBytes(const Plan& plan, const SelectTask& task) {
  Scratch counter;
  const Arrays arrays(plan, Spans(plan, CandidatesOf(plan, task.budget)).Count(), counter);
  return counter.UsedBytes();
}

}  // namespace chunkkv::reference
