#ifndef CHUNKKV_KERNELS_CUDA_DEVICE_LAUNCHER_H_
#define CHUNKKV_KERNELS_CUDA_DEVICE_LAUNCHER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "kernels/cuda/launcher.h"

namespace chunkkv::cuda {

// Kernels on the CUDA device of that ordinal.
// Errors: UNAVAILABLE NO_CUDA_DEVICE where there is no driver, no such device, or one older than sm_80.
absl::StatusOr<std::unique_ptr<Launcher>> MakeDeviceLauncher(int device);

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_DEVICE_LAUNCHER_H_
