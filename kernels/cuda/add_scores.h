#ifndef CHUNKKV_KERNELS_CUDA_ADD_SCORES_H_
#define CHUNKKV_KERNELS_CUDA_ADD_SCORES_H_

#include "absl/status/status.h"
#include "kernels/cuda/stage.h"

namespace chunkkv::cuda {

// Starts the last step of any source of scores. `sums` says its layers.
inline absl::Status AddScores(const Plan& plan, AddPartialsParams& sums, const Stage& stage) {
  sums.past_length = plan.past_length;
  sums.failure = stage.context.failure;
  return stage.Run(Blocks(plan.past_length, AddPartialsKernel::kThreads) * sums.layer_count,
                   [&](const LaunchShape& shape) { return stage.launcher.AddPartials(sums, shape); });
}

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_ADD_SCORES_H_
