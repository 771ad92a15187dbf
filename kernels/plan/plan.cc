#include "chunkkv/kernels/plan.h"

#include <algorithm>

#include "chunkkv/kernels/policy.h"

namespace chunkkv {

bool Plan::NeedsScores() const { return ChoosesByScores(policy) && source != ScoreSource::kNone; }

bool Plan::IsScored(int32_t layer) const {
  if (!NeedsScores() || layer < 0 || layer >= static_cast<int32_t>(layers.size())) return false;
  const ReuseGroup& group = groups[GroupOf(layer)];
  return group.leader < 0 || group.leader == layer;
}

int32_t Plan::GroupOf(int32_t layer) const {
  const auto after = std::upper_bound(groups.begin(), groups.end(), layer,
                                      [](int32_t at, const ReuseGroup& group) { return at < group.first_layer; });
  return static_cast<int32_t>(after - groups.begin()) - 1;
}

bool AllowsChunkMeans(const Plan& plan) {
  return plan.policy == Policy::kChunkKv && plan.chunk_reduce != ChunkReduce::kMax && plan.pool == 1;
}

}  // namespace chunkkv
