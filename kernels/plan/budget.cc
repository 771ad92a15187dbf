#include "kernels/plan/budget.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"

namespace chunkkv {
namespace {

int64_t RoundedDown(int64_t tokens, int64_t multiple) { return tokens / multiple * multiple; }
int64_t RoundedUp(int64_t tokens, int64_t multiple) { return RoundedDown(tokens + multiple - 1, multiple); }

}  // namespace

absl::StatusOr<Budget> ResolveBudget(const CompactionSpec& spec, int64_t token_count, int64_t window_length,
                                     int64_t sink_tokens, int64_t multiple) {
  const bool by_ratio = spec.keep_ratio.has_value();
  const int64_t asked =
      by_ratio ? static_cast<int64_t>(std::floor(*spec.keep_ratio * static_cast<double>(token_count) + 0.5))
               : *spec.max_tokens;
  Budget budget;
  if (token_count <= window_length || asked >= token_count) {
    budget.tokens = token_count;
    budget.change.everything_kept = true;
    return budget;
  }
  const int64_t least = window_length + sink_tokens;
  if (!by_ratio && asked < least) {
    return InvalidArgument("BUDGET_BELOW_WINDOW", absl::StrCat("max_tokens ", asked, " is below the window of ",
                                                               window_length, " and ", sink_tokens, " sink tokens"));
  }
  const int64_t raised = std::max(asked, least);
  budget.change.raised_to_window = raised != asked;
  const int64_t rounded = by_ratio ? RoundedUp(raised, multiple) : std::max(RoundedDown(raised, multiple), least);
  budget.tokens = std::min(rounded, token_count);
  budget.change.rounded_to_multiple = budget.tokens != std::min(raised, token_count);
  budget.change.everything_kept = budget.tokens == token_count;
  return budget;
}

int64_t RaisedBudget(const Plan& plan, int64_t budget) {
  const int64_t most = std::min(plan.max_raised_tokens, plan.token_count);
  if (budget >= most) return budget;
  const int64_t doubled = RoundedUp(2 * budget, plan.budget_multiple);
  if (doubled < most) return doubled;
  if (most == plan.token_count) return most;
  return std::max(budget, RoundedDown(most, plan.budget_multiple));
}

}  // namespace chunkkv
