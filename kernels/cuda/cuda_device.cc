#include <cuda_runtime_api.h>

#include "chunkkv/kernels/cuda.h"
#include "kernels/cuda/cuda_compactor.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/cuda/current_device.h"
#include "kernels/cuda/device_launcher.h"

namespace chunkkv {
namespace {

using cuda::CudaStatus;

class CudaMemory final : public DeviceMemory {
 public:
  explicit CudaMemory(int device) : device_(device) {}

  MemoryPlace Place() const override { return {MemoryKind::kDevice, device_}; }

  absl::StatusOr<void*> Allocate(size_t bytes) override {
    void* memory = nullptr;
    absl::Status status = OnDevice([&] { return cudaMalloc(&memory, bytes); });
    if (!status.ok()) return status;
    return memory;
  }
  void Free(void* memory) override {
    OnDevice([&] { return cudaFree(memory); }).IgnoreError();
  }

  absl::StatusOr<void*> AllocatePinned(size_t bytes) override {
    void* memory = nullptr;
    absl::Status status = OnDevice([&] { return cudaHostAlloc(&memory, bytes, cudaHostAllocPortable); });
    if (!status.ok()) return status;
    return memory;
  }
  void FreePinned(void* memory) override {
    OnDevice([&] { return cudaFreeHost(memory); }).IgnoreError();
  }

  absl::StatusOr<void*> CreateStream() override {
    cudaStream_t stream = nullptr;
    absl::Status status = OnDevice([&] { return cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking); });
    if (!status.ok()) return status;
    return static_cast<void*>(stream);
  }
  void DestroyStream(void* stream) override {
    OnDevice([&] { return cudaStreamDestroy(static_cast<cudaStream_t>(stream)); }).IgnoreError();
  }

  absl::Status CopyAsync(void* to, const void* from, size_t bytes, void* stream) override {
    return OnDevice(
        [&] { return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, static_cast<cudaStream_t>(stream)); });
  }
  absl::Status Synchronize(void* stream) override {
    return OnDevice([&] { return cudaStreamSynchronize(static_cast<cudaStream_t>(stream)); });
  }

 private:
  template <typename Call>
  absl::Status OnDevice(Call call) const {
    const cuda::CurrentDevice current(device_);
    if (absl::Status status = current.status(); !status.ok()) return status;
    const cudaError_t error = call();
    if (error == cudaErrorMemoryAllocation) cudaGetLastError();  // not to be met again by the next launch
    return CudaStatus(error);
  }

  int device_;
};

}  // namespace

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

absl::StatusOr<std::unique_ptr<DeviceMemory>> MakeCudaMemory(int device) {
  // The launcher knows what makes a device fit.
  if (auto launcher = cuda::MakeDeviceLauncher(device); !launcher.ok()) return launcher.status();
  return std::make_unique<CudaMemory>(device);
}

}  // namespace chunkkv
