#include "kernels/cuda/imported_segments.h"

#include <cstdint>
#include <string>
#include <utility>

#include "chunkkv/kernels/status.h"
#include "kernels/cuda/driver.h"

namespace chunkkv::cuda {
namespace {

// What a client handed over, rather than the device, is to blame for what is neither out of memory nor without support.
absl::Status Refused(CUresult result) {
  absl::Status status = Driver::Get()->ToStatus(result);
  if (status.code() != absl::StatusCode::kInternal) return status;
  return ErrorStatus(absl::StatusCode::kFailedPrecondition, "NOT_DEVICE_MEMORY", std::string(status.message()));
}

}  // namespace

absl::StatusOr<ImportedSegments> ImportedSegments::Map(int device, absl::Span<const ExportedSegment> segments) {
  if (Driver::Get() == nullptr) return Unimplemented("SLABS", "the driver has no virtual memory management");
  ImportedSegments imported;
  if (absl::Status status = imported.MapAll(device, segments); !status.ok()) return status;
  return imported;
}

absl::Status ImportedSegments::MapAll(int device, absl::Span<const ExportedSegment> segments) {
  const Driver& driver = *Driver::Get();
  size_t bytes = 0;
  for (const ExportedSegment& segment : segments) bytes += segment.bytes;
  const CUresult reserved = driver.MemAddressReserve(&address_, bytes, 0, 0, 0);
  if (reserved != CUDA_SUCCESS) return driver.ToStatus(reserved);
  reserved_bytes_ = bytes;
  CUdeviceptr at = address_;
  for (const ExportedSegment& segment : segments) {
    if (absl::Status status = MapSegment(at, segment); !status.ok()) return status;
    at += segment.bytes;
  }
  return Refused(driver.AllowAccess(device, address_, reserved_bytes_));
}

absl::Status ImportedSegments::MapSegment(CUdeviceptr at, const ExportedSegment& segment) {
  const Driver& driver = *Driver::Get();
  CUmemGenericAllocationHandle handle = 0;
  CUresult result =
      driver.MemImportFromShareableHandle(&handle, reinterpret_cast<void*>(static_cast<intptr_t>(segment.descriptor)),
                                          CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
  if (result != CUDA_SUCCESS) return Refused(result);
  result = driver.MemMap(at, segment.bytes, 0, handle, 0);
  driver.MemRelease(handle);  // the mapping holds the memory
  if (result != CUDA_SUCCESS) return Refused(result);
  mapped_.push_back(segment.bytes);
  return absl::OkStatus();
}

ImportedSegments::ImportedSegments(ImportedSegments&& other) noexcept
    : address_(std::exchange(other.address_, 0)),
      reserved_bytes_(std::exchange(other.reserved_bytes_, 0)),
      mapped_(std::exchange(other.mapped_, {})) {}

ImportedSegments::~ImportedSegments() {
  const Driver* const driver = Driver::Get();
  CUdeviceptr at = address_;
  for (const size_t bytes : mapped_) {
    driver->MemUnmap(at, bytes);
    at += bytes;
  }
  if (address_ != 0) driver->MemAddressFree(address_, reserved_bytes_);
}

}  // namespace chunkkv::cuda
