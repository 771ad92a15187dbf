// Gathering, re-rotating and scattering kept rows on all threads of a batch.
#ifndef CHUNKKV_KERNELS_CPU_ROWS_H_
#define CHUNKKV_KERNELS_CPU_ROWS_H_

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/compactor.h"
#include "kernels/common/scratch.h"

namespace chunkkv::cpu {

// Errors: INVALID_ARGUMENT BAD_POSITIONS; CANCELLED.
absl::Status GatherAll(absl::Span<const GatherTask> tasks, const ExecutionContext& context);

// Errors: INVALID_ARGUMENT BAD_POSITIONS; CANCELLED.
absl::Status ScatterAll(absl::Span<const ScatterTask> tasks, const ExecutionContext& context);

// Errors: CANCELLED.
absl::Status RotateAll(absl::Span<const RotateTask> tasks, Scratch scratch, const ExecutionContext& context);

size_t RotateScratchBytes(absl::Span<const RotateTask> tasks);

}  // namespace chunkkv::cpu

#endif  // CHUNKKV_KERNELS_CPU_ROWS_H_
