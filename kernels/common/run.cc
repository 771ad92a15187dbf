#include "kernels/common/run.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"

namespace chunkkv {

absl::Status CancelledStatus() {
  return ErrorStatus(absl::StatusCode::kCancelled, "CANCELLED", "compaction cancelled");
}

absl::Status NonFiniteStatus(int32_t layer) {
  return InvalidArgument("NON_FINITE_INPUT",
                         absl::StrCat("layer ", layer, ": NaN or Inf in queries, LSE, attention, scores or logits"));
}

absl::Status NegativeScoresStatus(int32_t layer) {
  return InvalidArgument("NEGATIVE_SCORES", absl::StrCat("layer ", layer, ": negative token scores or attention"));
}

absl::Status BadPositionStatus() {
  return InvalidArgument("BAD_POSITIONS", "a position is outside the rows, or a block id outside the cache");
}

absl::Status TakeStatus(ExecutionContext& context) { return std::exchange(context.status, absl::OkStatus()); }

}  // namespace chunkkv
