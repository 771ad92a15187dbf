#ifndef CHUNKKV_KERNELS_CUDA_SELECT_STAGE_H_
#define CHUNKKV_KERNELS_CUDA_SELECT_STAGE_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/compactor.h"
#include "kernels/common/scratch.h"
#include "kernels/cuda/stage.h"

namespace chunkkv::cuda {

// Starts the batch's select tasks: keys of spans, the choice, retained masses. Errors: those of launches.
absl::Status StartSelects(const Plan& plan, absl::Span<const SelectTask> tasks, Scratch scratch, const Stage& stage);
size_t SelectScratchBytes(const Plan& plan, absl::Span<const SelectTask> tasks);

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_SELECT_STAGE_H_
