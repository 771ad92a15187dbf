#ifndef CHUNKKV_KERNELS_CUDA_CURRENT_DEVICE_H_
#define CHUNKKV_KERNELS_CUDA_CURRENT_DEVICE_H_

#include <cuda_runtime_api.h>

#include "absl/status/status.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/cuda/driver.h"

namespace chunkkv::cuda {

// Makes `device` the calling thread's current one for the object's life: the caller's choice is the caller's. A device
// that nobody has used yet stays unused: to go back to it would make its context (device 0, of a thread that never
// chose one).
class CurrentDevice {
 public:
  explicit CurrentDevice(int device) {
    error_ = cudaGetDevice(&before_);
    if (error_ == cudaSuccess && before_ != device) {
      error_ = cudaSetDevice(device);
      is_changed_ = error_ == cudaSuccess;
    }
  }
  ~CurrentDevice() {
    if (is_changed_ && HasContext(before_)) cudaSetDevice(before_);
  }
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

  absl::Status status() const { return CudaStatus(error_); }

 private:
  static bool HasContext(int device) {
    const Driver* const driver = Driver::Get();
    unsigned flags = 0;
    int is_active = 0;
    return driver == nullptr ||
           (driver->DevicePrimaryCtxGetState(device, &flags, &is_active) == CUDA_SUCCESS && is_active != 0);
  }

  cudaError_t error_ = cudaSuccess;
  int before_ = 0;
  bool is_changed_ = false;
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_CURRENT_DEVICE_H_
