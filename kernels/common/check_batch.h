// Whether a batch agrees with its plan: what Enqueue checks before it touches memory. Contents of tensors, positions
// and block ids are not looked at.
#ifndef CHUNKKV_KERNELS_COMMON_CHECK_BATCH_H_
#define CHUNKKV_KERNELS_COMMON_CHECK_BATCH_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/compactor.h"

namespace chunkkv {

// Everything but the place of memory.
// Errors: INVALID_ARGUMENT BAD_TASK, WORKSPACE_TOO_SMALL, BAD_ROPE; UNIMPLEMENTED SCORING_FP8, ROTATING_FP8.
absl::Status CheckBatch(const Plan& plan, const Batch& batch, absl::Span<std::byte> workspace, size_t workspace_bytes);

// The same, for implementations on a host: tensors that the batch reads or writes must not be device memory.
// Errors: those of CheckBatch; UNIMPLEMENTED DEVICE_MEMORY.
absl::Status CheckHostBatch(const Plan& plan, const Batch& batch, absl::Span<std::byte> workspace,
                            size_t workspace_bytes);

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_COMMON_CHECK_BATCH_H_
