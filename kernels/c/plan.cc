#include "kernels/c/plan.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "kernels/c/last_error.h"
#include "kernels/c/read_struct.h"
#include "kernels/c/spec.h"

namespace chunkkv::c {
namespace {

int32_t FlagsOf(const BudgetChange& change) {
  return (change.raised_to_window ? CHUNKKV_RAISED_TO_WINDOW : 0) |
         (change.rounded_to_multiple ? CHUNKKV_ROUNDED_TO_MULTIPLE : 0) |
         (change.everything_kept ? CHUNKKV_EVERYTHING_KEPT : 0);
}

absl::Status Create(const chunkkv_spec* spec, const chunkkv_shape* shape, chunkkv_plan** plan) {
  if (plan == nullptr) return BadStruct("plan", "is null");
  *plan = nullptr;
  absl::StatusOr<CompactionSpec> asked = ReadSpec(spec);
  if (!asked.ok()) return asked.status();
  absl::StatusOr<CompactionShape> of = ReadShape(shape);
  if (!of.ok()) return of.status();
  absl::StatusOr<Plan> made = MakePlan(*asked, *of);
  if (!made.ok()) return made.status();
  *plan = std::make_unique<chunkkv_plan>(chunkkv_plan{*std::move(made)}).release();
  return absl::OkStatus();
}

absl::Status GetInfo(const chunkkv_plan* plan, chunkkv_plan_info* info) {
  if (plan == nullptr) return BadStruct("plan", "is null");
  const Plan& from = plan->plan;
  chunkkv_plan_info to = {};
  to.token_count = from.token_count;
  to.window_length = from.window_length;
  to.past_length = from.past_length;
  to.sink_tokens = from.sink_tokens;
  to.budget = from.budget;
  to.layer_count = static_cast<int32_t>(from.layers.size());
  to.group_count = static_cast<int32_t>(from.groups.size());
  to.needs_scores = from.NeedsScores() ? 1 : 0;
  to.budget_change = FlagsOf(from.budget_change);
  to.allows_chunk_means = AllowsChunkMeans(from) ? 1 : 0;
  return WriteStruct(to, "info", info);
}

absl::Status GetGroup(const chunkkv_plan* plan, int32_t index, chunkkv_group* group) {
  if (plan == nullptr) return BadStruct("plan", "is null");
  if (index < 0 || index >= static_cast<int32_t>(plan->plan.groups.size())) {
    return InvalidArgument("BAD_GROUP", absl::StrCat("the plan has no group ", index));
  }
  const ReuseGroup& from = plan->plan.groups[index];
  return WriteStruct(chunkkv_group{0, from.first_layer, from.layer_count, from.leader, 0}, "group", group);
}

absl::Status IsScored(const chunkkv_plan* plan, int32_t layer, int32_t* is_scored) {
  if (plan == nullptr) return BadStruct("plan", "is null");
  if (is_scored == nullptr) return BadStruct("is_scored", "is null");
  if (layer < 0 || layer >= static_cast<int32_t>(plan->plan.layers.size())) {
    return InvalidArgument("BAD_LAYER", absl::StrCat("the plan has no layer ", layer));
  }
  *is_scored = plan->plan.NeedsScores() && plan->plan.IsScored(layer) ? 1 : 0;
  return absl::OkStatus();
}

absl::Status Raised(const chunkkv_plan* plan, int64_t budget, int64_t* raised) {
  if (plan == nullptr) return BadStruct("plan", "is null");
  if (raised == nullptr) return BadStruct("raised", "is null");
  if (budget < 0 || budget > plan->plan.token_count) {
    return InvalidArgument("BAD_BUDGET", absl::StrCat("budget ", budget, " is not between 0 and the prompt's tokens"));
  }
  *raised = RaisedBudget(plan->plan, budget);
  return absl::OkStatus();
}

}  // namespace
}  // namespace chunkkv::c

namespace c = chunkkv::c;

chunkkv_code chunkkv_plan_create(const chunkkv_spec* spec, const chunkkv_shape* shape, chunkkv_plan** plan) {
  return c::Guarded([&] { return c::Create(spec, shape, plan); });
}

void chunkkv_plan_destroy(chunkkv_plan* plan) { delete plan; }

chunkkv_code chunkkv_plan_get_info(const chunkkv_plan* plan, chunkkv_plan_info* info) {
  return c::Guarded([&] { return c::GetInfo(plan, info); });
}

chunkkv_code chunkkv_plan_get_group(const chunkkv_plan* plan, int32_t index, chunkkv_group* group) {
  return c::Guarded([&] { return c::GetGroup(plan, index, group); });
}

chunkkv_code chunkkv_plan_is_scored(const chunkkv_plan* plan, int32_t layer, int32_t* is_scored) {
  return c::Guarded([&] { return c::IsScored(plan, layer, is_scored); });
}

chunkkv_code chunkkv_plan_raised_budget(const chunkkv_plan* plan, int64_t budget, int64_t* raised) {
  return c::Guarded([&] { return c::Raised(plan, budget, raised); });
}
