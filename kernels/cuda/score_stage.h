#ifndef CHUNKKV_KERNELS_CUDA_SCORE_STAGE_H_
#define CHUNKKV_KERNELS_CUDA_SCORE_STAGE_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/compactor.h"
#include "kernels/common/scratch.h"
#include "kernels/cuda/stage.h"

namespace chunkkv::cuda {

// Starts the batch's score tasks: consecutive tasks of one shape together, as many as the scratch holds.
// Errors: UNIMPLEMENTED SCORING_HEAD_SIZE, TOO_LARGE; those of launches.
absl::Status StartScores(const Plan& plan, absl::Span<const ScoreTask> tasks, Scratch scratch, const Stage& stage);

// At most half a hundredth of the KV of all layers, where that holds one layer's arrays.
size_t ScoreScratchBytes(const Plan& plan, absl::Span<const ScoreTask> tasks);

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_SCORE_STAGE_H_
