#ifndef CHUNKKV_KERNELS_CUDA_CUDA_STATUS_H_
#define CHUNKKV_KERNELS_CUDA_CUDA_STATUS_H_

#include <cuda_runtime_api.h>

#include <string>

#include "absl/status/status.h"
#include "chunkkv/kernels/status.h"

namespace chunkkv::cuda {

// INTERNAL CUDA_ERROR with the runtime's name and text; RESOURCE_EXHAUSTED DEVICE_MEMORY_EXHAUSTED where memory ran
// out.
inline absl::Status CudaStatus(cudaError_t error) {
  if (error == cudaSuccess) return absl::OkStatus();
  const std::string text = std::string(cudaGetErrorName(error)) + ": " + cudaGetErrorString(error);
  if (error == cudaErrorMemoryAllocation) {
    return ErrorStatus(absl::StatusCode::kResourceExhausted, "DEVICE_MEMORY_EXHAUSTED", text);
  }
  return ErrorStatus(absl::StatusCode::kInternal, "CUDA_ERROR", text);
}

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_CUDA_STATUS_H_
