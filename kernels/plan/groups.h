// Reuse groups of a Plan.
#ifndef CHUNKKV_KERNELS_PLAN_GROUPS_H_
#define CHUNKKV_KERNELS_PLAN_GROUPS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "chunkkv/kernels/spec.h"

namespace chunkkv {

// The groups that `spec`, which CheckSpec took, asks for; they cover [0, layer_count) in order. Explicit groups stand
// as given: without a leader all layers choose, unless group_score says LEADER, which makes the first layer lead.
// `choosing`: whether the policy chooses by token scores; otherwise no group has a leader. Errors: INVALID_ARGUMENT
// BAD_GROUPS, BAD_LEADER.
absl::StatusOr<std::vector<ReuseGroup>> ResolveGroups(const CompactionSpec& spec, int32_t layer_count, bool choosing);

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_PLAN_GROUPS_H_
