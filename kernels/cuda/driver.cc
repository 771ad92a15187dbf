#include "kernels/cuda/driver.h"

#include <cuda_runtime_api.h>

#include <optional>
#include <string>

#include "chunkkv/kernels/status.h"

namespace chunkkv::cuda {
namespace {

constexpr unsigned kSinceVersion = 10020;  // the youngest of them are of CUDA 10.2

template <typename Function>
bool Find(const char* name, Function* function) {
  void* address = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  const cudaError_t error = cudaGetDriverEntryPointByVersion(name, &address, kSinceVersion, cudaEnableDefault, &found);
  if (error != cudaSuccess) cudaGetLastError();  // no driver: not to be met again by the next call
  if (error != cudaSuccess || found != cudaDriverEntryPointSuccess) return false;
  *function = reinterpret_cast<Function>(address);
  return true;
}

std::optional<Driver> Load() {
  Driver driver;
  const bool has_all = Find("cuGetErrorName", &driver.GetErrorName) &&
                       Find("cuDevicePrimaryCtxGetState", &driver.DevicePrimaryCtxGetState) &&
                       Find("cuMemGetAllocationGranularity", &driver.MemGetAllocationGranularity) &&
                       Find("cuMemAddressReserve", &driver.MemAddressReserve) &&
                       Find("cuMemAddressFree", &driver.MemAddressFree) && Find("cuMemCreate", &driver.MemCreate) &&
                       Find("cuMemRelease", &driver.MemRelease) && Find("cuMemMap", &driver.MemMap) &&
                       Find("cuMemUnmap", &driver.MemUnmap) && Find("cuMemSetAccess", &driver.MemSetAccess) &&
                       Find("cuMemExportToShareableHandle", &driver.MemExportToShareableHandle) &&
                       Find("cuMemImportFromShareableHandle", &driver.MemImportFromShareableHandle) &&
                       Find("cuMemGetAddressRange", &driver.MemGetAddressRange);
  return has_all ? std::make_optional(driver) : std::nullopt;
}

}  // namespace

const Driver* Driver::Get() {
  static const std::optional<Driver> driver = Load();
  return driver.has_value() ? &*driver : nullptr;
}

CUresult Driver::AllowAccess(int device, CUdeviceptr address, size_t bytes) const {
  CUmemAccessDesc access{};
  access.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device};
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  return MemSetAccess(address, bytes, &access, 1);
}

absl::Status Driver::ToStatus(CUresult result) const {
  if (result == CUDA_SUCCESS) return absl::OkStatus();
  const char* name = nullptr;
  const std::string text = GetErrorName(result, &name) == CUDA_SUCCESS ? name : "unknown CUresult";
  if (result == CUDA_ERROR_OUT_OF_MEMORY) {
    return ErrorStatus(absl::StatusCode::kResourceExhausted, "DEVICE_MEMORY_EXHAUSTED", text);
  }
  if (result == CUDA_ERROR_NOT_SUPPORTED || result == CUDA_ERROR_NOT_PERMITTED) return Unimplemented("SLABS", text);
  return ErrorStatus(absl::StatusCode::kInternal, "CUDA_ERROR", text);
}

}  // namespace chunkkv::cuda
