#include "kernels/common/candidates.h"

#include <algorithm>
#include <cmath>

namespace chunkkv {

Candidates CandidatesOf(const Plan& plan, int64_t budget) {
  const int64_t length = plan.token_count;
  budget = std::max<int64_t>(0, budget);  // scratch is counted before tasks are checked
  if (budget >= length) return {length, length, 0};
  const int64_t sinks = plan.sink_tokens;
  switch (plan.policy) {
    case Policy::kChunkKv:
    case Policy::kSnapKv:
      return {sinks, plan.past_length, budget - plan.window_length - sinks};
    case Policy::kH2o: {
      const auto share = static_cast<int64_t>(std::floor(plan.recent_ratio * static_cast<double>(budget) + 0.5));
      const int64_t recent = std::min(std::max(plan.window_length, share), budget - sinks);
      return {sinks, length - recent, budget - sinks - recent};
    }
    case Policy::kStreamingLlm:
      return {sinks, length - (budget - sinks), 0};
    case Policy::kFull:
    case Policy::kExternal:
      break;
  }
  return {length, length, 0};
}

Spans::Spans(const Plan& plan, const Candidates& candidates) : candidates_(candidates) {
  const int64_t tokens = std::max<int64_t>(0, candidates.end - candidates.begin);
  if (plan.policy == Policy::kChunkKv && !plan.chunk_starts.empty()) {
    given_ = plan.chunk_starts.data();
    count_ = tokens == 0 ? 0 : static_cast<int64_t>(plan.chunk_starts.size());
    return;
  }
  if (plan.policy == Policy::kChunkKv) length_ = plan.chunk_length;
  count_ = (tokens + length_ - 1) / length_;
}

int64_t Spans::Begin(int64_t span) const {
  return given_ != nullptr ? given_[span] : candidates_.begin + span * length_;
}

}  // namespace chunkkv
