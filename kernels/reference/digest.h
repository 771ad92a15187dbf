#ifndef CHUNKKV_KERNELS_REFERENCE_DIGEST_H_
#define CHUNKKV_KERNELS_REFERENCE_DIGEST_H_

#include "absl/status/status.h"
#include "chunkkv/kernels/compactor.h"

namespace chunkkv::reference {

// XXH3-64 of each block of the task's bytes. Errors: CANCELLED.
absl::Status DigestBlocks(const DigestTask& task, const ExecutionContext& context);

}  // namespace chunkkv::reference

#endif  // CHUNKKV_KERNELS_REFERENCE_DIGEST_H_
