#include "kernels/cpu/select.h"

#include <algorithm>
#include <numeric>

#include "kernels/common/candidates.h"

namespace chunkkv::cpu {
namespace {

struct Arrays {
  Arrays(const Plan& plan, int64_t span_count, Scratch& scratch)
      : summed(scratch.Take<double>(plan.past_length)),
        pooled(scratch.Take<double>(plan.pool > 1 ? plan.past_length : 0)),
        span_scores(scratch.Take<double>(span_count)),
        order(scratch.Take<int32_t>(span_count)) {}
  double* summed;       // [P] token scores of all choosing layers
  double* pooled;       // [P]
  double* span_scores;  // [spans]
  int32_t* order;       // [spans]
};

void SumLayers(const Plan& plan, const SelectTask& task, double* summed) {
  std::fill_n(summed, plan.past_length, 0.0);
  for (const float* scores : task.token_scores) {
    for (int64_t j = 0; j < plan.past_length; ++j) summed[j] += scores[j];
  }
}

// pooled[j] = mean of the `pool` elements around j, zeros beyond the edges. Neighbour by neighbour over all tokens:
// every sum adds its elements in index order, so equal neighbourhoods tie exactly.
void Pool(const double* scores, int64_t count, int64_t pool, double* pooled) {
  const int64_t half = pool / 2;
  std::fill_n(pooled, count, 0.0);
  for (int64_t offset = -half; offset <= half; ++offset) {
    const int64_t begin = std::max<int64_t>(0, -offset);
    const int64_t end = std::min(count, count - offset);
    for (int64_t j = begin; j < end; ++j) pooled[j] += scores[j + offset];
  }
  for (int64_t j = 0; j < count; ++j) pooled[j] /= static_cast<double>(pool);
}

double SpanScore(ChunkReduce reduce, const double* scores, int64_t count) {
  if (reduce == ChunkReduce::kMax) return *std::max_element(scores, scores + count);
  const double sum = std::accumulate(scores, scores + count, 0.0);
  return reduce == ChunkReduce::kMean ? sum / static_cast<double>(count) : sum;
}

// The span at which the visit ends, and how many of its tokens are kept (none where those before it fill the room).
struct Cut {
  int32_t span = -1;
  int64_t taken = 0;
};

// `room` is above 0.
template <typename Before>
Cut FindCut(const Spans& spans, int64_t room, int32_t* order, Before before) {
  std::iota(order, order + spans.Count(), 0);
  int32_t* first = order;
  int32_t* last = order + spans.Count();
  Cut cut;
  while (first != last && room > 0) {
    int32_t* middle = first + (last - first) / 2;
    std::nth_element(first, middle, last, before);
    int64_t above = 0;
    for (const int32_t* at = first; at != middle; ++at) above += spans.End(*at) - spans.Begin(*at);
    if (above > room) {
      last = middle;
      continue;
    }
    // All before the middle fit whole; of the middle goes what is left.
    room -= above;
    cut = {*middle, std::min(spans.End(*middle) - spans.Begin(*middle), room)};
    room -= cut.taken;
    first = middle + 1;
  }
  return cut;
}

// Appends [begin, end) to `out`.
int32_t* Append(int64_t begin, int64_t end, int32_t* out) {
  std::iota(out, out + (end - begin), static_cast<int32_t>(begin));
  return out + (end - begin);
}

int32_t* KeepBestSpans(const Plan& plan, const SelectTask& task, const Candidates& candidates, const Arrays& arrays,
                       int32_t* out) {
  const Spans spans(plan, candidates);
  SumLayers(plan, task, arrays.summed);
  const double* scores = arrays.summed;
  if (plan.pool > 1) {
    Pool(arrays.summed, plan.past_length, plan.pool, arrays.pooled);
    scores = arrays.pooled;
  }
  for (int64_t s = 0; s < spans.Count(); ++s) {
    arrays.span_scores[s] = SpanScore(plan.chunk_reduce, scores + spans.Begin(s), spans.End(s) - spans.Begin(s));
  }
  const auto before = [span_scores = arrays.span_scores](int32_t a, int32_t b) {
    return span_scores[a] != span_scores[b] ? span_scores[a] > span_scores[b] : a < b;
  };
  const Cut cut = FindCut(spans, candidates.room, arrays.order, before);
  for (int32_t s = 0; s < spans.Count(); ++s) {
    if (s == cut.span) {
      out = Append(spans.Begin(s), spans.Begin(s) + cut.taken, out);
    } else if (before(s, cut.span)) {
      out = Append(spans.Begin(s), spans.End(s), out);
    }
  }
  return out;
}

double RetainedMass(const float* scores, int64_t past_length, const SelectTask& task) {
  double sum = 0;
  for (int64_t j = 0; j < past_length; ++j) sum += scores[j];
  double kept = 0;
  for (int64_t n = 0; n < task.budget && task.positions[n] < past_length; ++n) kept += scores[task.positions[n]];
  return sum == 0 ? 1.0 : kept / sum;
}

}  // namespace

void SelectPositions(const Plan& plan, const SelectTask& task, Scratch scratch) {
  const Candidates candidates = CandidatesOf(plan, task.budget);
  int32_t* out = Append(0, candidates.begin, task.positions);
  if (candidates.room > 0) {
    const Arrays arrays(plan, Spans(plan, candidates).Count(), scratch);
    out = KeepBestSpans(plan, task, candidates, arrays, out);
  }
  Append(candidates.end, plan.token_count, out);
  for (size_t i = 0; i < task.token_scores.size() && task.retained_mass != nullptr; ++i) {
    task.retained_mass[i] = RetainedMass(task.token_scores[i], plan.past_length, task);
  }
}

size_t SelectScratchBytes(const Plan& plan, const SelectTask& task) {
  const Candidates candidates = CandidatesOf(plan, task.budget);
  Scratch counter;
  if (candidates.room > 0) const Arrays arrays(plan, Spans(plan, candidates).Count(), counter);
  return counter.UsedBytes();
}

}  // namespace chunkkv::cpu
