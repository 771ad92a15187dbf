// Token scores computed in the caller's process, so that a put can send them instead of what they come from: a server
// that is to choose from queries would need the keys.
#ifndef CHUNKKV_CLIENT_CPP_LOCAL_SCORES_H_
#define CHUNKKV_CLIENT_CPP_LOCAL_SCORES_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "chunkkv/client/types.h"

namespace chunkkv::client {

// Token scores [P] of each layer of the layout; empty for layers that are not scored. Arrays have been checked against
// the layout. Errors: INVALID_ARGUMENT (those of MakePlan, BAD_ARRAY, NON_FINITE_INPUT).
absl::StatusOr<std::vector<std::vector<float>>> ComputeTokenScores(const PutRequest& request,
                                                                   absl::Span<const LayerArrays> layers);

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_CPP_LOCAL_SCORES_H_
