#ifndef CHUNKKV_KERNELS_REFERENCE_SCORE_H_
#define CHUNKKV_KERNELS_REFERENCE_SCORE_H_

#include "absl/status/status.h"
#include "chunkkv/kernels/compactor.h"
#include "kernels/common/scratch.h"

namespace chunkkv::reference {

// Writes the token scores [P] of one layer. Products, softmax and sums in float64; logits and results are rounded to
// float32 to see whether they are finite there.
// Errors: INVALID_ARGUMENT NON_FINITE_INPUT, NEGATIVE_SCORES, BAD_POSITIONS; CANCELLED.
absl::Status ScoreTokens(const Plan& plan, const ScoreTask& task, Scratch scratch, const ExecutionContext& context);

size_t ScoreScratchBytes(const Plan& plan, const ScoreTask& task);

}  // namespace chunkkv::reference

#endif  // CHUNKKV_KERNELS_REFERENCE_SCORE_H_
