#ifndef CHUNKKV_KERNELS_CUDA_WINDOW_SCORE_STAGE_H_
#define CHUNKKV_KERNELS_CUDA_WINDOW_SCORE_STAGE_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/compactor.h"
#include "kernels/common/scratch.h"
#include "kernels/cuda/stage.h"

namespace chunkkv::cuda {

// Starts score tasks whose source is QUERY_WINDOW. Errors and memory as in score_stage.h.
absl::Status StartWindowScores(const Plan& plan, absl::Span<const ScoreTask> tasks, Scratch scratch,
                               const Stage& stage);
size_t WindowScoreScratchBytes(const Plan& plan, absl::Span<const ScoreTask> tasks);

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_WINDOW_SCORE_STAGE_H_
