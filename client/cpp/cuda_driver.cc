#include "client/cpp/cuda_driver.h"

#include <dlfcn.h>

#include "chunkkv/kernels/status.h"

namespace chunkkv::client {
namespace {

constexpr char kLibrary[] = "libcuda.so.1";
constexpr int kSuccess = 0;
constexpr int kPosixFileDescriptor = 1;  // CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR

template <typename Function>
bool Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

absl::Status NotExportable(const char* call, int result) {
  return FailedPrecondition("NOT_EXPORTABLE", std::string(call) + ": CUresult " + std::to_string(result));
}

}  // namespace

absl::StatusOr<const CudaDriver*> CudaDriver::Get() {
  static const absl::StatusOr<CudaDriver> driver = [] () -> absl::StatusOr<CudaDriver> {
    CudaDriver loaded;
    if (absl::Status status = loaded.Load(); !status.ok()) return status;
    return loaded;
  }();
  if (!driver.ok()) return driver.status();
  return &*driver;
}

absl::Status CudaDriver::Load() {
  void* const library = dlopen(kLibrary, RTLD_NOW);  // for as long as the process lives
  if (library == nullptr) return Unimplemented("NO_CUDA_DRIVER", dlerror());
  const bool has_all = Find(library, "cuMemGetAddressRange_v2", &get_address_range_) &&
                       Find(library, "cuIpcGetMemHandle", &ipc_get_mem_handle_) &&
                       Find(library, "cuMemRetainAllocationHandle", &retain_allocation_handle_) &&
                       Find(library, "cuMemExportToShareableHandle", &export_to_shareable_handle_) &&
                       Find(library, "cuMemRelease", &release_);
  if (!has_all) return Unimplemented("NO_CUDA_DRIVER", std::string(kLibrary) + " is older than CUDA 11");
  return absl::OkStatus();
}

absl::StatusOr<DeviceAllocation> CudaDriver::AllocationOf(uint64_t address) const {
  DeviceAllocation allocation;
  const int result = get_address_range_(&allocation.base, &allocation.bytes, address);
  if (result == kSuccess) return allocation;
  return InvalidArgument("NOT_DEVICE_MEMORY", "cuMemGetAddressRange: CUresult " + std::to_string(result));
}

absl::StatusOr<std::string> CudaDriver::IpcHandleOf(uint64_t base) const {
  IpcMemHandle handle;
  if (const int result = ipc_get_mem_handle_(&handle, base); result != kSuccess) {
    return NotExportable("cuIpcGetMemHandle", result);
  }
  return std::string(handle.bytes, sizeof handle.bytes);
}

absl::StatusOr<FileDescriptor> CudaDriver::DescriptorOf(uint64_t base) const {
  uint64_t handle = 0;
  if (const int result = retain_allocation_handle_(&handle, reinterpret_cast<void*>(base)); result != kSuccess) {
    return NotExportable("cuMemRetainAllocationHandle", result);
  }
  int descriptor = -1;
  const int result = export_to_shareable_handle_(&descriptor, handle, kPosixFileDescriptor, 0);
  release_(handle);
  if (result != kSuccess) return NotExportable("cuMemExportToShareableHandle", result);
  return FileDescriptor(descriptor);
}

}  // namespace chunkkv::client
