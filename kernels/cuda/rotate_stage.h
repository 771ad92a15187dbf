#ifndef CHUNKKV_KERNELS_CUDA_ROTATE_STAGE_H_
#define CHUNKKV_KERNELS_CUDA_ROTATE_STAGE_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/compactor.h"
#include "kernels/common/scratch.h"
#include "kernels/cuda/stage.h"

namespace chunkkv::cuda {

// Starts the batch's rotate tasks. Errors: those of launches.
absl::Status StartRotates(absl::Span<const RotateTask> tasks, Scratch scratch, const Stage& stage);
size_t RotateScratchBytes(absl::Span<const RotateTask> tasks);

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_ROTATE_STAGE_H_
