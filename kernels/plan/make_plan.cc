#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/check_spec.h"
#include "chunkkv/kernels/plan.h"
#include "chunkkv/kernels/policy.h"
#include "chunkkv/kernels/status.h"
#include "kernels/plan/budget.h"
#include "kernels/plan/check_shape.h"
#include "kernels/plan/groups.h"

namespace chunkkv {
namespace {

absl::Status CheckGuardrail(const Plan& plan, bool is_sharded) {
  if (plan.has_min_retained_mass && !plan.NeedsScores()) {
    return InvalidArgument("MASS_WITHOUT_SCORES", "min_retained_mass needs a policy and a source with token scores");
  }
  if (is_sharded && plan.on_low_mass != OnLowMass::kFail) {
    return InvalidArgument("GUARDRAIL_SHARDED", "on_low_mass must be fail where tp_size or pp_size is above 1");
  }
  return absl::OkStatus();
}

absl::Status CheckScoring(const Plan& plan) {
  if (plan.source != ScoreSource::kQueryWindow || plan.KeepsEverything()) return absl::OkStatus();
  for (size_t i = 0; i < plan.layers.size(); ++i) {
    const AttentionShape& layer = plan.layers[i];
    if (plan.IsScored(static_cast<int32_t>(i)) && !IsScorable(layer.dtype) && !layer.has_key_scales) {
      return Unimplemented("SCORING_FP8", absl::StrCat("layers[", i,
                                                       "].dtype: fp8 keys cannot be scored without scales; send "
                                                       "attention or token scores"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Plan> MakePlan(const CompactionSpec& spec, const CompactionShape& shape) {
  if (absl::Status status = CheckShape(shape); !status.ok()) return status;
  if (absl::Status status = CheckSpec(spec); !status.ok()) return status;
  if (!spec.profile.empty()) {
    return InvalidArgument("PROFILE_UNKNOWN", "profile: its groups are not known here; state them as groups");
  }

  Plan plan;
  const bool choosing = ChoosesByScores(spec.policy);
  const bool has_budget = spec.policy != Policy::kFull && spec.policy != Policy::kExternal;
  plan.policy = spec.policy;
  plan.source = choosing ? shape.source : ScoreSource::kNone;
  plan.has_lse = choosing && shape.has_lse;
  plan.token_count = shape.token_count;
  plan.window_length = spec.window_length.value_or(32);
  plan.past_length = std::max<int64_t>(0, plan.token_count - plan.window_length);
  plan.sink_tokens = has_budget ? spec.sink_tokens.value_or(spec.policy == Policy::kStreamingLlm ? 4 : 0) : 0;
  plan.chunk_length = spec.chunk_length.value_or(10);
  plan.chunk_reduce = ChunkReduceOf(spec);
  plan.pool = spec.pool.value_or(spec.policy == Policy::kSnapKv ? 5 : 1);
  plan.recent_ratio = spec.recent_ratio.value_or(0.5);
  plan.budget_multiple = spec.budget_multiple.value_or(1);
  plan.has_min_retained_mass = spec.min_retained_mass.has_value();
  plan.min_retained_mass = spec.min_retained_mass.value_or(0);
  plan.on_low_mass = spec.on_low_mass.value_or(OnLowMass::kFail);
  plan.max_raised_tokens = std::min(spec.max_raised_tokens.value_or(plan.token_count), plan.token_count);
  plan.layers = shape.layers;
  for (AttentionShape& layer : plan.layers) {
    if (layer.scale == 0) layer.scale = 1 / std::sqrt(static_cast<double>(layer.key_head_size));
  }

  if (absl::Status status = CheckChunkStarts(spec, plan.token_count, plan.sink_tokens); !status.ok()) return status;
  if (spec.policy == Policy::kChunkKv) {
    for (const int32_t start : spec.chunk_starts) {
      if (start < plan.past_length) plan.chunk_starts.push_back(start);
    }
  }
  auto groups = ResolveGroups(spec, static_cast<int32_t>(shape.layers.size()), choosing);
  if (!groups.ok()) return groups.status();
  plan.groups = *std::move(groups);

  if (spec.policy == Policy::kFull) plan.budget = plan.token_count;
  if (has_budget) {
    auto budget = ResolveBudget(spec, plan.token_count, plan.window_length, plan.sink_tokens, plan.budget_multiple);
    if (!budget.ok()) return budget.status();
    plan.budget = budget->tokens;
    plan.budget_change = budget->change;
  }
  if (choosing && plan.source == ScoreSource::kNone && !plan.KeepsEverything()) {
    return InvalidArgument("SCORES_MISSING", "this policy chooses by token scores: a score source must be given");
  }
  if (absl::Status status = CheckGuardrail(plan, shape.is_sharded); !status.ok()) return status;
  if (absl::Status status = CheckScoring(plan); !status.ok()) return status;
  return plan;
}

}  // namespace chunkkv
