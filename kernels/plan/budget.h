// How many tokens are kept.
#ifndef CHUNKKV_KERNELS_PLAN_BUDGET_H_
#define CHUNKKV_KERNELS_PLAN_BUDGET_H_

#include "absl/status/statusor.h"
#include "chunkkv/kernels/plan.h"

namespace chunkkv {

struct Budget {
  int64_t tokens = 0;
  BudgetChange change;
};

// Budget of a policy other than full and external. The spec's numbers are in range and exactly one of keep_ratio and
// max_tokens is set. Errors: INVALID_ARGUMENT BUDGET_BELOW_WINDOW.
absl::StatusOr<Budget> ResolveBudget(const CompactionSpec& spec, int64_t token_count, int64_t window_length,
                                     int64_t sink_tokens, int64_t multiple);

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_PLAN_BUDGET_H_
