// The memory of a CUDA device, as DeviceMemory.
#include <cuda_runtime_api.h>

#include <cstring>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "chunkkv/kernels/cuda.h"
#include "chunkkv/kernels/status.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/cuda/current_device.h"
#include "kernels/cuda/device_launcher.h"
#include "kernels/cuda/driver.h"
#include "kernels/cuda/imported_segments.h"
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

  absl::StatusOr<ImportedMemory> ImportHandle(const IpcHandle& handle) override {
    cudaIpcMemHandle_t cuda_handle;
    static_assert(sizeof cuda_handle == sizeof handle);
    std::memcpy(&cuda_handle, handle.data(), sizeof cuda_handle);
    void* memory = nullptr;
    const cuda::CurrentDevice current(device_);
    if (absl::Status status = current.status(); !status.ok()) return status;
    const cudaError_t error = cudaIpcOpenMemHandle(&memory, cuda_handle, cudaIpcMemLazyEnablePeerAccess);
    if (error != cudaSuccess) {
      cudaGetLastError();  // of this call alone
      absl::Status status = CudaStatus(error);
      return status.code() == absl::StatusCode::kInternal ? NotIpcMemory(std::string(status.message())) : status;
    }
    const cuda::Driver* const driver = cuda::Driver::Get();
    CUdeviceptr base = 0;
    ImportedMemory imported = {static_cast<std::byte*>(memory), 0};
    if (driver == nullptr || driver->MemGetAddressRange(&base, &imported.bytes, reinterpret_cast<CUdeviceptr>(memory)) !=
                                 CUDA_SUCCESS) {
      cudaIpcCloseMemHandle(memory);
      return NotIpcMemory("the allocation's size is not known");
    }
    imported.bytes -= reinterpret_cast<CUdeviceptr>(memory) - base;
    return imported;
  }
  absl::StatusOr<ImportedMemory> ImportSegments(absl::Span<const ExportedSegment> segments) override {
    const cuda::CurrentDevice current(device_);
    if (absl::Status status = current.status(); !status.ok()) return status;
    absl::StatusOr<cuda::ImportedSegments> imported = cuda::ImportedSegments::Map(device_, segments);
    if (!imported.ok()) return imported.status();
    const ImportedMemory memory = imported->memory();
    std::lock_guard<std::mutex> lock(mutex_);
    imported_.emplace(memory.data, *std::move(imported));
    return memory;
  }
  void CloseImported(std::byte* data) override {
    const cuda::CurrentDevice current(device_);
    std::lock_guard<std::mutex> lock(mutex_);
    if (imported_.erase(data) == 0) cudaIpcCloseMemHandle(data);
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
  static absl::Status NotIpcMemory(const std::string& why) {
    return ErrorStatus(absl::StatusCode::kFailedPrecondition, "NOT_IPC_MEMORY", why);
  }

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
  std::unordered_map<void*, cuda::Slab> slabs_;                 // by address
  std::unordered_map<void*, cuda::ImportedSegments> imported_;  // by address
};

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceMemory>> MakeCudaMemory(int device) {
  // The launcher knows what makes a device fit.
  if (auto launcher = cuda::MakeDeviceLauncher(device); !launcher.ok()) return launcher.status();
  return std::make_unique<CudaMemory>(device);
}

}  // namespace chunkkv
