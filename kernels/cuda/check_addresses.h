#ifndef CHUNKKV_KERNELS_CUDA_CHECK_ADDRESSES_H_
#define CHUNKKV_KERNELS_CUDA_CHECK_ADDRESSES_H_

#include "absl/status/status.h"
#include "chunkkv/kernels/compactor.h"

namespace chunkkv::cuda {

// Whether what kernels read and write by elements is aligned to them: a GPU traps on an address that is not, and what
// traps is lost to the whole process. Rows to gather or scatter and bytes to digest may lie anywhere.
// Errors: UNIMPLEMENTED MISALIGNED, with the name of the task and of its field.
absl::Status CheckAddresses(const Plan& plan, const Batch& batch, const ExecutionContext& context);

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_CHECK_ADDRESSES_H_
