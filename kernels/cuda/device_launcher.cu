#include <cuda_runtime.h>

#include <chrono>
#include <string>
#include <thread>

#include "chunkkv/kernels/status.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/cuda/device_launcher.h"
#include "kernels/cuda/launcher_of.h"

namespace chunkkv::cuda {
namespace {

template <typename Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, Kernel::kMinBlocksPerSm)
    Entry(const __grid_constant__ typename Kernel::Params params) {
  Kernel::Run(params);
}

class DevicePlace {
 public:
  DevicePlace(int device, int32_t sm_count) : device_(device), sm_count_(sm_count) {}

  int32_t SmCount() const { return sm_count_; }
  bool Reaches(const MemoryPlace& place) const {
    return place.kind == MemoryKind::kPinned || (place.kind == MemoryKind::kDevice && place.device == device_);
  }

  template <typename Kernel>
  absl::Status Launch(const typename Kernel::Params& params, const LaunchShape& shape) const {
    if (cudaError_t error = cudaSetDevice(device_); error != cudaSuccess) return CudaStatus(error);
    const auto shared_bytes = static_cast<int>(Kernel::SharedBytes(params));
    if (shared_bytes > kSharedBytesWithoutAsking) {
      const cudaError_t error =
          cudaFuncSetAttribute(Entry<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
      if (error != cudaSuccess) return CudaStatus(error);
    }
    Entry<Kernel><<<static_cast<unsigned>(shape.block_count), Kernel::kThreads, shared_bytes,
                    static_cast<cudaStream_t>(shape.stream)>>>(params);
    return CudaStatus(cudaGetLastError());
  }

  absl::StatusOr<bool> Wait(void* stream, const std::function<bool()>& cancelled) const {
    const auto cuda_stream = static_cast<cudaStream_t>(stream);
    bool is_cancelled = cancelled != nullptr && cancelled();
    while (cancelled != nullptr && !is_cancelled) {
      const cudaError_t error = cudaStreamQuery(cuda_stream);
      if (error != cudaErrorNotReady) break;
      std::this_thread::sleep_for(kBetweenLooks);
      is_cancelled = cancelled();
    }
    // What was started goes on reading and writing the caller's memory, cancelled or not.
    if (absl::Status status = CudaStatus(cudaStreamSynchronize(cuda_stream)); !status.ok()) return status;
    return is_cancelled;
  }

 private:
  static constexpr int kSharedBytesWithoutAsking = 48 << 10;
  static constexpr std::chrono::microseconds kBetweenLooks{100};

  int device_;
  int32_t sm_count_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Launcher>> MakeDeviceLauncher(int device) {
  const auto unavailable = [device](const std::string& why) {
    return ErrorStatus(absl::StatusCode::kUnavailable, "NO_CUDA_DEVICE",
                       "CUDA device " + std::to_string(device) + ": " + why);
  };
  int device_count = 0;
  if (cudaError_t error = cudaGetDeviceCount(&device_count); error != cudaSuccess) {
    cudaGetLastError();
    return unavailable(cudaGetErrorString(error));
  }
  if (device < 0 || device >= device_count) {
    return unavailable("there are " + std::to_string(device_count));
  }
  int major = 0;
  int sm_count = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  if (cudaError_t error = cudaDeviceGetAttribute(&sm_count, cudaDevAttrMultiProcessorCount, device);
      error != cudaSuccess) {
    return unavailable(cudaGetErrorString(error));
  }
  if (major < 8) return unavailable("it is older than sm_80");
  return std::make_unique<LauncherOf<DevicePlace>>(DevicePlace(device, sm_count));
}

}  // namespace chunkkv::cuda
