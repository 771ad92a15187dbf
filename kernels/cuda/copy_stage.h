#ifndef CHUNKKV_KERNELS_CUDA_COPY_STAGE_H_
#define CHUNKKV_KERNELS_CUDA_COPY_STAGE_H_

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/compactor.h"
#include "kernels/cuda/stage.h"

namespace chunkkv::cuda {

// Start the batch's gather and scatter tasks, those of one alignment together. Errors: those of launches.
absl::Status StartGathers(absl::Span<const GatherTask> tasks, const Stage& stage);
absl::Status StartScatters(absl::Span<const ScatterTask> tasks, const Stage& stage);

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_COPY_STAGE_H_
