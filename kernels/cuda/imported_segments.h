#ifndef CHUNKKV_KERNELS_CUDA_IMPORTED_SEGMENTS_H_
#define CHUNKKV_KERNELS_CUDA_IMPORTED_SEGMENTS_H_

#include <cuda.h>

#include <cstddef>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/device_memory.h"

namespace chunkkv::cuda {

// Physical memory that other processes made, mapped for a device of this one, in one range of addresses. Move-only;
// unmapped on destruction, whatever had come of it by then.
class ImportedSegments {
 public:
  // `device` is current. Errors: as DeviceMemory::ImportSegments.
  static absl::StatusOr<ImportedSegments> Map(int device, absl::Span<const ExportedSegment> segments);
  ImportedSegments(ImportedSegments&& other) noexcept;
  ImportedSegments& operator=(ImportedSegments&& other) = delete;
  ~ImportedSegments();

  ImportedMemory memory() const { return {reinterpret_cast<std::byte*>(address_), reserved_bytes_}; }

 private:
  ImportedSegments() = default;
  absl::Status MapAll(int device, absl::Span<const ExportedSegment> segments);
  absl::Status MapSegment(CUdeviceptr at, const ExportedSegment& segment);

  CUdeviceptr address_ = 0;
  size_t reserved_bytes_ = 0;
  std::vector<size_t> mapped_;  // bytes of each, in order
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_IMPORTED_SEGMENTS_H_
