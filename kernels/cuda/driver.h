#ifndef CHUNKKV_KERNELS_CUDA_DRIVER_H_
#define CHUNKKV_KERNELS_CUDA_DRIVER_H_

#include <cuda.h>

#include "absl/status/status.h"

namespace chunkkv::cuda {

// Functions of the driver that the runtime has no word for, asked of it by name: nothing is linked with the driver, and
// machines without it run whatever does not call them.
struct Driver {
  decltype(&::cuGetErrorName) GetErrorName = nullptr;
  decltype(&::cuDevicePrimaryCtxGetState) DevicePrimaryCtxGetState = nullptr;
  decltype(&::cuMemGetAllocationGranularity) MemGetAllocationGranularity = nullptr;
  decltype(&::cuMemAddressReserve) MemAddressReserve = nullptr;
  decltype(&::cuMemAddressFree) MemAddressFree = nullptr;
  decltype(&::cuMemCreate) MemCreate = nullptr;
  decltype(&::cuMemRelease) MemRelease = nullptr;
  decltype(&::cuMemMap) MemMap = nullptr;
  decltype(&::cuMemUnmap) MemUnmap = nullptr;
  decltype(&::cuMemSetAccess) MemSetAccess = nullptr;
  decltype(&::cuMemExportToShareableHandle) MemExportToShareableHandle = nullptr;
  decltype(&::cuMemImportFromShareableHandle) MemImportFromShareableHandle = nullptr;
  decltype(&::cuMemGetAddressRange) MemGetAddressRange = nullptr;

  // Null where there is no driver, or one without these functions (before CUDA 10.2).
  static const Driver* Get();

  // Lets `device` read and write [address, address + bytes), which is mapped.
  CUresult AllowAccess(int device, CUdeviceptr address, size_t bytes) const;

  // As CudaStatus, which knows the runtime's errors. UNIMPLEMENTED SLABS where the device has no virtual memory.
  absl::Status ToStatus(CUresult result) const;
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_DRIVER_H_
