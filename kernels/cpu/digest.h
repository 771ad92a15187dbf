#ifndef CHUNKKV_KERNELS_CPU_DIGEST_H_
#define CHUNKKV_KERNELS_CPU_DIGEST_H_

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/compactor.h"

namespace chunkkv::cpu {

// XXH3-64 of each block of the tasks' bytes, on all threads of the batch. Errors: CANCELLED.
absl::Status DigestAll(absl::Span<const DigestTask> tasks, const ExecutionContext& context);

}  // namespace chunkkv::cpu

#endif  // CHUNKKV_KERNELS_CPU_DIGEST_H_
