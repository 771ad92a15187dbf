#ifndef CHUNKKV_KERNELS_COMMON_CHECK_BATCH_H_
#define CHUNKKV_KERNELS_COMMON_CHECK_BATCH_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/compactor.h"

namespace chunkkv {

// Whether a batch on the host agrees with its plan: what Enqueue checks before it touches memory. Contents of
// tensors and of positions are not looked at.
// Errors: INVALID_ARGUMENT BAD_TASK, WORKSPACE_TOO_SMALL, BAD_ROPE; UNIMPLEMENTED DEVICE_MEMORY, SCORING_FP8,
// ROTATING_FP8.
absl::Status CheckHostBatch(const Plan& plan, const Batch& batch, absl::Span<std::byte> workspace,
                            size_t workspace_bytes);

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_COMMON_CHECK_BATCH_H_
