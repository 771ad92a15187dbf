#include <cuda_runtime_api.h>

#include "chunkkv/kernels/cuda.h"
#include "kernels/cuda/cuda_compactor.h"
#include "kernels/cuda/device_launcher.h"

namespace chunkkv {

int CudaDeviceCount() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return count;
}

std::string CudaDeviceName(int device) {
  cudaDeviceProp properties;
  return cudaGetDeviceProperties(&properties, device) == cudaSuccess ? properties.name : "unknown";
}

absl::StatusOr<std::unique_ptr<Compactor>> MakeCudaCompactor(int device) {
  absl::StatusOr<std::unique_ptr<cuda::Launcher>> launcher = cuda::MakeDeviceLauncher(device);
  if (!launcher.ok()) return launcher.status();
  return cuda::MakeCompactor(*std::move(launcher));
}

}  // namespace chunkkv
