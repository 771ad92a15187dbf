#include "kernels/cpu/select.h"

#include <algorithm>
#include <numeric>

#include "kernels/common/candidates.h"
#include "kernels/common/run.h"

namespace chunkkv::cpu {
namespace {

constexpr int64_t kBlockTokens = 2048;  // that many means of the largest pool take a few milliseconds

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

// Calls body(begin, end) for blocks that cover [0, count). Returns false where the batch is cancelled.
template <typename Body>
bool InBlocks(int64_t count, const ExecutionContext& context, Body body) {
  for (int64_t begin = 0; begin < count; begin += kBlockTokens) {
    if (IsCancelled(context)) return false;
    body(begin, std::min(count, begin + kBlockTokens));
  }
  return true;
}

bool SumLayers(const Plan& plan, const SelectTask& task, double* summed, const ExecutionContext& context) {
  return InBlocks(plan.past_length, context, [&](int64_t begin, int64_t end) {
    std::fill(summed + begin, summed + end, 0.0);
    for (const float* scores : task.token_scores) {
      for (int64_t j = begin; j < end; ++j) summed[j] += scores[j];
    }
  });
}

// pooled[j] = mean of the `pool` elements around j, zeros beyond the edges. Neighbour by neighbour over a block of
// tokens: every sum adds its elements in index order, so equal neighbourhoods tie exactly.
bool Pool(const double* scores, int64_t count, int64_t pool, double* pooled, const ExecutionContext& context) {
  const int64_t half = pool / 2;
  return InBlocks(count, context, [&](int64_t block_begin, int64_t block_end) {
    std::fill(pooled + block_begin, pooled + block_end, 0.0);
    for (int64_t offset = -half; offset <= half; ++offset) {
      const int64_t begin = std::max(block_begin, -offset);
      const int64_t end = std::min(block_end, count - offset);
      for (int64_t j = begin; j < end; ++j) pooled[j] += scores[j + offset];
    }
    for (int64_t j = block_begin; j < block_end; ++j) pooled[j] /= static_cast<double>(pool);
  });
}

double SpanScore(ChunkReduce reduce, const double* scores, int64_t count) {
  if (reduce == ChunkReduce::kMax) return *std::max_element(scores, scores + count);
  const double sum = std::accumulate(scores, scores + count, 0.0);
  return reduce == ChunkReduce::kMean ? sum / static_cast<double>(count) : sum;
}

bool ScoreSpans(const Plan& plan, const SelectTask& task, const Spans& spans, const Arrays& arrays,
                const ExecutionContext& context) {
  if (!SumLayers(plan, task, arrays.summed, context)) return false;
  const double* scores = arrays.summed;
  if (plan.pool > 1) {
    if (!Pool(arrays.summed, plan.past_length, plan.pool, arrays.pooled, context)) return false;
    scores = arrays.pooled;
  }
  return InBlocks(spans.Count(), context, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) {
      arrays.span_scores[s] = SpanScore(plan.chunk_reduce, scores + spans.Begin(s), spans.End(s) - spans.Begin(s));
    }
  });
}

// The span at which the visit ends, and how many of its tokens are kept (none where those before it fill the room).
struct Cut {
  int32_t span = -1;
  int64_t taken = 0;
};

// `room` is above 0. The span of the result is -1 where the batch is cancelled.
template <typename Before>
Cut FindCut(const Spans& spans, int64_t room, int32_t* order, const ExecutionContext& context, Before before) {
  std::iota(order, order + spans.Count(), 0);
  int32_t* first = order;
  int32_t* last = order + spans.Count();
  Cut cut;
  while (first != last && room > 0) {
    if (IsCancelled(context)) return {};
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

// Returns the end of what it appends to `out`; null where the batch is cancelled.
int32_t* KeepBestSpans(const Plan& plan, const SelectTask& task, const Candidates& candidates, const Arrays& arrays,
                       const ExecutionContext& context, int32_t* out) {
  const Spans spans(plan, candidates);
  if (!ScoreSpans(plan, task, spans, arrays, context)) return nullptr;
  const auto before = [span_scores = arrays.span_scores](int32_t a, int32_t b) {
    return span_scores[a] != span_scores[b] ? span_scores[a] > span_scores[b] : a < b;
  };
  const Cut cut = FindCut(spans, candidates.room, arrays.order, context, before);
  if (cut.span < 0) return nullptr;
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

bool SelectPositions(const Plan& plan, const SelectTask& task, Scratch scratch, const ExecutionContext& context) {
  const Candidates candidates = CandidatesOf(plan, task.budget);
  int32_t* out = Append(0, candidates.begin, task.positions);
  if (candidates.room > 0) {
    const Arrays arrays(plan, Spans(plan, candidates).Count(), scratch);
    out = KeepBestSpans(plan, task, candidates, arrays, context, out);
    if (out == nullptr) return false;
  }
  Append(candidates.end, plan.token_count, out);
  for (size_t i = 0; i < task.token_scores.size() && task.retained_mass != nullptr; ++i) {
    if (IsCancelled(context)) return false;
    task.retained_mass[i] = RetainedMass(task.token_scores[i], plan.past_length, task);
  }
  return true;
}

size_t SelectScratchBytes(const Plan& plan, const SelectTask& task) {
  const Candidates candidates = CandidatesOf(plan, task.budget);
  Scratch counter;
  if (candidates.room > 0) const Arrays arrays(plan, Spans(plan, candidates).Count(), counter);
  return counter.UsedBytes();
}

}  // namespace chunkkv::cpu
