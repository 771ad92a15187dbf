#ifndef CHUNKKV_KERNELS_CUDA_SLAB_H_
#define CHUNKKV_KERNELS_CUDA_SLAB_H_

#include <cuda.h>

#include <cstddef>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace chunkkv::cuda {

// Physical memory of a device with a handle of its own, mapped for that device. Move-only; given back on destruction,
// whatever had come of it by then.
class Slab {
 public:
  // `bytes`: a multiple of kSlabGranularityBytes. `device` is current. Errors: as DeviceMemory::AllocateSlab.
  static absl::StatusOr<Slab> Create(int device, size_t bytes);
  Slab(Slab&& other) noexcept;
  Slab& operator=(Slab&& other) = delete;
  ~Slab();

  void* data() const { return reinterpret_cast<void*>(address_); }
  // As DeviceMemory::ExportDescriptor.
  absl::StatusOr<int> ExportDescriptor() const;

 private:
  explicit Slab(size_t bytes) : bytes_(bytes) {}
  absl::Status Map(int device);

  size_t bytes_;
  CUdeviceptr address_ = 0;
  CUmemGenericAllocationHandle handle_ = 0;
  bool has_handle_ = false;
  bool is_mapped_ = false;
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_SLAB_H_
