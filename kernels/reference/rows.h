#ifndef CHUNKKV_KERNELS_REFERENCE_ROWS_H_
#define CHUNKKV_KERNELS_REFERENCE_ROWS_H_

#include "absl/status/status.h"
#include "chunkkv/kernels/compactor.h"

namespace chunkkv::reference {

// Copies rows bit for bit. Errors: INVALID_ARGUMENT BAD_POSITIONS; CANCELLED.
absl::Status GatherRows(const GatherTask& task, const ExecutionContext& context);

// Turns each pair of the rotary dimensions of row n by (n - positions[n]) * inv_freq, in float64. Errors: CANCELLED.
absl::Status RotateRows(const RotateTask& task, const ExecutionContext& context);

// Copies dense rows into a cache, bit for bit. Errors: INVALID_ARGUMENT BAD_POSITIONS; CANCELLED.
absl::Status ScatterRows(const ScatterTask& task, const ExecutionContext& context);

}  // namespace chunkkv::reference

#endif  // CHUNKKV_KERNELS_REFERENCE_ROWS_H_
