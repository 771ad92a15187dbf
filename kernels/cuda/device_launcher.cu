#include <cuda_runtime.h>

#include <chrono>
#include <string>
#include <thread>

#include "chunkkv/kernels/status.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/cuda/current_device.h"
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
    const CurrentDevice current(device_);
    if (absl::Status status = current.status(); !status.ok()) return status;
    const size_t shared_bytes = Kernel::SharedBytes(params);
    if (shared_bytes > kSharedBytesWithoutAsking) {
      // An attribute of the function, whoever launches it: always the same value, so that threads may race.
      const cudaError_t error =
          cudaFuncSetAttribute(Entry<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize, kMaxSharedBytes);
      if (error != cudaSuccess) return CudaStatus(error);
    }
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(static_cast<unsigned>(shape.block_count));
    config.blockDim = dim3(Kernel::kThreads);
    config.dynamicSmemBytes = shared_bytes;
    config.stream = static_cast<cudaStream_t>(shape.stream);
    return CudaStatus(cudaLaunchKernelEx(&config, Entry<Kernel>, params));
  }

  absl::StatusOr<bool> Wait(void* stream, const std::function<bool()>& cancelled) const {
    const CurrentDevice current(device_);
    if (absl::Status status = current.status(); !status.ok()) return status;
    const auto cuda_stream = static_cast<cudaStream_t>(stream);
    const auto start = std::chrono::steady_clock::now();
    bool is_cancelled = cancelled != nullptr && cancelled();
    while (cancelled != nullptr && !is_cancelled && cudaStreamQuery(cuda_stream) == cudaErrorNotReady) {
      if (std::chrono::steady_clock::now() - start < kYielding) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(kBetweenLooks);
      }
      is_cancelled = cancelled();
    }
    // What was started goes on reading and writing the caller's memory, cancelled or not.
    if (absl::Status status = CudaStatus(cudaStreamSynchronize(cuda_stream)); !status.ok()) return status;
    return is_cancelled;
  }

 private:
  static constexpr size_t kSharedBytesWithoutAsking = 48 << 10;
  static constexpr int kMaxSharedBytes = 99 << 10;
  // Most batches end within this; a sleep would be longer than what is left of them.
  static constexpr std::chrono::milliseconds kYielding{2};
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
