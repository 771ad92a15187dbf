#include "kernels/cuda/slab.h"

#include <utility>

#include "chunkkv/kernels/device_memory.h"
#include "chunkkv/kernels/status.h"
#include "kernels/cuda/driver.h"

namespace chunkkv::cuda {
namespace {

absl::Status NoSlabs(const char* why) { return Unimplemented("SLABS", why); }

}  // namespace

absl::StatusOr<Slab> Slab::Create(int device, size_t bytes) {
  if (Driver::Get() == nullptr) return NoSlabs("the driver has no virtual memory management");
  Slab slab(bytes);
  if (absl::Status status = slab.Map(device); !status.ok()) return status;
  return slab;
}

absl::Status Slab::Map(int device) {
  const Driver& driver = *Driver::Get();
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  properties.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device};
  size_t granularity = 0;
  CUresult result = driver.MemGetAllocationGranularity(&granularity, &properties, CU_MEM_ALLOC_GRANULARITY_MINIMUM);
  if (result != CUDA_SUCCESS) return driver.ToStatus(result);
  if (granularity == 0 || kSlabGranularityBytes % granularity != 0)
    return NoSlabs("the device's granularity is coarser");

  result = driver.MemCreate(&handle_, bytes_, &properties, 0);
  if (result != CUDA_SUCCESS) return driver.ToStatus(result);
  has_handle_ = true;
  result = driver.MemAddressReserve(&address_, bytes_, 0, 0, 0);
  if (result != CUDA_SUCCESS) return driver.ToStatus(result);
  result = driver.MemMap(address_, bytes_, 0, handle_, 0);
  if (result != CUDA_SUCCESS) return driver.ToStatus(result);
  is_mapped_ = true;
  return driver.ToStatus(driver.AllowAccess(device, address_, bytes_));
}

Slab::Slab(Slab&& other) noexcept
    : bytes_(other.bytes_),
      address_(std::exchange(other.address_, 0)),
      handle_(other.handle_),
      has_handle_(std::exchange(other.has_handle_, false)),
      is_mapped_(std::exchange(other.is_mapped_, false)) {}

Slab::~Slab() {
  // What a device that has failed answers is of no use: its memory goes with its context.
  const Driver* const driver = Driver::Get();
  if (is_mapped_) driver->MemUnmap(address_, bytes_);
  if (address_ != 0) driver->MemAddressFree(address_, bytes_);
  if (has_handle_) driver->MemRelease(handle_);
}

absl::StatusOr<int> Slab::ExportDescriptor() const {
  const Driver& driver = *Driver::Get();
  int descriptor = -1;
  const CUresult result =
      driver.MemExportToShareableHandle(&descriptor, handle_, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
  if (result != CUDA_SUCCESS) return driver.ToStatus(result);
  return descriptor;
}

}  // namespace chunkkv::cuda
