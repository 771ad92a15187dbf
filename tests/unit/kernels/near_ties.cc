#include "tests/unit/kernels/near_ties.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/common/half.h"
#include "tests/unit/kernels/random_prompt.h"
#include "tests/unit/kernels/row_memory.h"

namespace chunkkv::testing {
namespace {

std::vector<double> Pooled(const std::vector<double>& scores, int64_t pool) {
  std::vector<double> pooled(scores.size());
  for (int64_t j = 0; j < static_cast<int64_t>(scores.size()); ++j) {
    for (int64_t k = j - pool / 2; k <= j + pool / 2; ++k) {
      if (k >= 0 && k < static_cast<int64_t>(scores.size())) pooled[j] += scores[k] / static_cast<double>(pool);
    }
  }
  return pooled;
}

// [begin, end) of the tokens among which scores decide.
std::pair<int64_t, int64_t> Contested(const Plan& plan, int64_t budget) {
  if (budget >= plan.token_count) return {0, 0};
  int64_t recent = plan.window_length;
  if (plan.policy == Policy::kStreamingLlm) recent = budget - plan.sink_tokens;
  if (plan.policy == Policy::kH2o) {
    recent = std::max<int64_t>(recent, std::floor(plan.recent_ratio * budget + 0.5));
    recent = std::min(recent, budget - plan.sink_tokens);
  }
  return {plan.sink_tokens, plan.token_count - recent};
}

std::vector<int64_t> SpanStarts(const Plan& plan, int64_t begin, int64_t end) {
  if (plan.policy == Policy::kChunkKv && !plan.chunk_starts.empty()) {
    return {plan.chunk_starts.begin(), plan.chunk_starts.end()};
  }
  std::vector<int64_t> starts;
  for (int64_t at = begin; at < end; at += plan.policy == Policy::kChunkKv ? plan.chunk_length : 1)
    starts.push_back(at);
  return starts;
}

double SpanScore(const Plan& plan, const std::vector<double>& scores, int64_t begin, int64_t end) {
  if (plan.policy == Policy::kChunkKv && plan.chunk_reduce == ChunkReduce::kMax) {
    return *std::max_element(scores.begin() + begin, scores.begin() + end);
  }
  const double sum = std::accumulate(scores.begin() + begin, scores.begin() + end, 0.0);
  return plan.policy == Policy::kChunkKv && plan.chunk_reduce == ChunkReduce::kMean ? sum / (end - begin) : sum;
}

}  // namespace

double NearTieTolerance(const Plan& plan, int32_t layer, const LayerInput& input) {
  if (plan.source != ScoreSource::kQueryWindow) return 1e-5;
  const AttentionShape& shape = plan.layers[layer];
  const int64_t queries = std::min(plan.window_length, plan.token_count);
  const int64_t head_size = shape.key_head_size;
  const int64_t heads_per_kv = shape.query_head_count / shape.kv_head_count;
  double largest = 0;
  for (int64_t h = 0; h < shape.query_head_count; ++h) {
    for (int64_t i = 0; i < queries; ++i) {
      for (int64_t j = 0; j <= plan.token_count - queries + i; ++j) {
        const std::byte* row = input.keys.data + HeadOffset(input.keys, j, h / heads_per_kv);
        double sum = 0;
        for (int64_t d = 0; d < head_size; ++d) {
          sum += std::fabs(
              double{LoadElement(row, shape.dtype, d)} *
              LoadElement(input.queries.data, input.queries.dtype, (i * shape.query_head_count + h) * head_size + d));
        }
        largest = std::max(largest, sum * KeyScale(input, j, h / heads_per_kv));
      }
    }
  }
  return std::max(1e-5, std::ldexp(plan.layers[layer].scale * largest, -20));
}

bool IsAcceptable(const Plan& plan, int64_t budget, const std::vector<double>& truth, double tolerance,
                  const std::vector<int32_t>& selection) {
  std::vector<bool> kept(plan.token_count, false);
  int64_t previous = -1;
  for (const int32_t position : selection) {
    if (position <= previous || position >= plan.token_count) return false;
    kept[position] = true;
    previous = position;
  }
  if (static_cast<int64_t>(selection.size()) != budget) return false;
  const auto [begin, end] = Contested(plan, budget);
  for (int64_t j = 0; j < plan.token_count; ++j) {
    if ((j < begin || j >= end) && !kept[j]) return false;
  }
  if (begin == end || plan.policy == Policy::kStreamingLlm) return true;

  const std::vector<double> scores = Pooled(truth, plan.pool);
  const std::vector<int64_t> starts = SpanStarts(plan, begin, end);
  // The least score taken whole, then the one cut, then the largest left out: each may exceed the one before by a tie.
  double least_whole = std::numeric_limits<double>::infinity();
  double largest_out = -1;
  double cut = -1;
  for (size_t s = 0; s < starts.size(); ++s) {
    const int64_t span_end = s + 1 < starts.size() ? starts[s + 1] : end;
    const double score = SpanScore(plan, scores, starts[s], span_end);
    const int64_t taken = std::count(kept.begin() + starts[s], kept.begin() + span_end, true);
    if (std::count(kept.begin() + starts[s], kept.begin() + starts[s] + taken, true) != taken) return false;
    if (taken == span_end - starts[s]) {
      least_whole = std::min(least_whole, score);
    } else if (taken == 0) {
      largest_out = std::max(largest_out, score);
    } else if (cut >= 0) {
      return false;  // only one span is cut
    } else {
      cut = score;
    }
  }
  const auto in_order = [tolerance](double above, double below) {
    return below - above <= tolerance * std::max(above, below);
  };
  if (cut < 0) return in_order(least_whole, largest_out);
  return in_order(least_whole, cut) && in_order(cut, largest_out) && in_order(least_whole, largest_out);
}

}  // namespace chunkkv::testing
