#ifndef CHUNKKV_KERNELS_CUDA_DIGEST_STAGE_H_
#define CHUNKKV_KERNELS_CUDA_DIGEST_STAGE_H_

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/compactor.h"
#include "kernels/cuda/stage.h"

namespace chunkkv::cuda {

// Starts the batch's digest tasks, blocks of one alignment together. Errors: those of launches.
absl::Status StartDigests(absl::Span<const DigestTask> tasks, const Stage& stage);

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_DIGEST_STAGE_H_
