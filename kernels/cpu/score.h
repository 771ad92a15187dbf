#ifndef CHUNKKV_KERNELS_CPU_SCORE_H_
#define CHUNKKV_KERNELS_CPU_SCORE_H_

#include "absl/status/status.h"
#include "chunkkv/kernels/compactor.h"
#include "kernels/common/scratch.h"

namespace chunkkv::cpu {

// Writes the token scores [P] of one layer, in float32. The result does not depend on how many threads there are.
// Errors: INVALID_ARGUMENT NON_FINITE_INPUT, NEGATIVE_SCORES, BAD_POSITIONS; CANCELLED.
absl::Status ScoreTokens(const Plan& plan, const ScoreTask& task, Scratch scratch, const ExecutionContext& context);

size_t ScoreScratchBytes(const Plan& plan, const ScoreTask& task);

}  // namespace chunkkv::cpu

#endif  // CHUNKKV_KERNELS_CPU_SCORE_H_
