// What of the CUDA driver it takes to hand memory to another process. Loaded at run time: programs without CUDA do
// without.
#ifndef CHUNKKV_CLIENT_CPP_CUDA_DRIVER_H_
#define CHUNKKV_CLIENT_CPP_CUDA_DRIVER_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "service/format/file_descriptor.h"

namespace chunkkv::client {

// [base, base + bytes) of the device's addresses.
struct DeviceAllocation {
  uint64_t base = 0;
  size_t bytes = 0;
};

// Thread-safe; to be called where the current context is that of the memory.
class CudaDriver {
 public:
  // Errors: UNIMPLEMENTED NO_CUDA_DRIVER.
  static absl::StatusOr<const CudaDriver*> Get();

  // What an address lies in. Errors: INVALID_ARGUMENT NOT_DEVICE_MEMORY.
  absl::StatusOr<DeviceAllocation> AllocationOf(uint64_t address) const;
  // Of an allocation of cudaMalloc, 64 bytes. Errors: FAILED_PRECONDITION NOT_EXPORTABLE.
  absl::StatusOr<std::string> IpcHandleOf(uint64_t base) const;
  // Of an allocation of cuMemCreate that may be shared by descriptor. Errors: as IpcHandleOf.
  absl::StatusOr<FileDescriptor> DescriptorOf(uint64_t base) const;

 private:
  // As cuda.h declares them; CUresult is an int, CUdeviceptr and allocation handles are 64 bits.
  struct IpcMemHandle {
    char bytes[64];
  };
  using GetAddressRange = int (*)(uint64_t* base, size_t* bytes, uint64_t address);
  using IpcGetMemHandle = int (*)(IpcMemHandle* handle, uint64_t address);
  using RetainAllocationHandle = int (*)(uint64_t* handle, void* address);
  using ExportToShareableHandle = int (*)(void* descriptor, uint64_t handle, int type, unsigned long long flags);
  using Release = int (*)(uint64_t handle);

  absl::Status Load();

  GetAddressRange get_address_range_ = nullptr;
  IpcGetMemHandle ipc_get_mem_handle_ = nullptr;
  RetainAllocationHandle retain_allocation_handle_ = nullptr;
  ExportToShareableHandle export_to_shareable_handle_ = nullptr;
  Release release_ = nullptr;
};

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_CPP_CUDA_DRIVER_H_
