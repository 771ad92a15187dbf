// The memory of a CUDA device, as DeviceMemory.
#include <cuda_runtime_api.h>

#include <mutex>
#include <unordered_map>
#include <utility>

#include "chunkkv/kernels/cuda.h"
#include "chunkkv/kernels/status.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/cuda/current_device.h"
#include "kernels/cuda/device_launcher.h"
#include "kernels/cuda/slab.h"

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

  absl::StatusOr<void*> AllocateSlab(size_t bytes) override {
    const cuda::CurrentDevice current(device_);
    if (absl::Status status = current.status(); !status.ok()) return status;
    absl::StatusOr<cuda::Slab> slab = cuda::Slab::Create(device_, bytes);
    if (!slab.ok()) return slab.status();
    void* const data = slab->data();
    std::lock_guard<std::mutex> lock(mutex_);
    slabs_.emplace(data, *std::move(slab));
    return data;
  }
  void FreeSlab(void* slab) override {
    const cuda::CurrentDevice current(device_);
    std::lock_guard<std::mutex> lock(mutex_);
    slabs_.erase(slab);
  }
  absl::StatusOr<int> ExportDescriptor(void* slab) override {
    std::lock_guard<std::mutex> lock(mutex_);
    return slabs_.at(slab).ExportDescriptor();
  }

  absl::Status RegisterHost(void* memory, size_t bytes) override {
    cudaError_t error = cudaSuccess;
    absl::Status status = OnDevice([&] { return error = cudaHostRegister(memory, bytes, cudaHostRegisterPortable); });
    if (error != cudaErrorNotSupported && error != cudaErrorNotPermitted) return status;
    cudaGetLastError();  // of this call alone
    return Unimplemented("HOST_REGISTRATION", cudaGetErrorName(error));
  }
  void UnregisterHost(void* memory) override {
    OnDevice([&] { return cudaHostUnregister(memory); }).IgnoreError();
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

  const int device_;
  std::mutex mutex_;
  std::unordered_map<void*, cuda::Slab> slabs_;  // by address
};

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceMemory>> MakeCudaMemory(int device) {
  // The launcher knows what makes a device fit.
  if (auto launcher = cuda::MakeDeviceLauncher(device); !launcher.ok()) return launcher.status();
  return std::make_unique<CudaMemory>(device);
}

}  // namespace chunkkv
