// What a caller asks for, read from the structs of the C interface.
#ifndef CHUNKKV_KERNELS_C_SPEC_H_
#define CHUNKKV_KERNELS_C_SPEC_H_

#include "absl/status/statusor.h"
#include "chunkkv/kernels.h"
#include "chunkkv/kernels/plan.h"
#include "chunkkv/kernels/spec.h"

namespace chunkkv::c {

// Errors: INVALID_ARGUMENT BAD_STRUCT, UNKNOWN_NAME.
absl::StatusOr<CompactionSpec> ReadSpec(const chunkkv_spec* from);

// Errors: INVALID_ARGUMENT BAD_STRUCT, UNKNOWN_NAME, BAD_DTYPE.
absl::StatusOr<CompactionShape> ReadShape(const chunkkv_shape* from);

}  // namespace chunkkv::c

#endif  // CHUNKKV_KERNELS_C_SPEC_H_
