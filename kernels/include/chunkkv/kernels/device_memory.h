// Memory and streams of a device, as code that runs on the host asks for them.
//
// A CUDA device has the one real implementation (cuda.h); tests have one on the host, which can fail on demand.
// Thread-safe. What it gives belongs to the caller until it is given back; it must outlive all of it.
#ifndef CHUNKKV_KERNELS_DEVICE_MEMORY_H_
#define CHUNKKV_KERNELS_DEVICE_MEMORY_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "chunkkv/kernels/tensor_view.h"

namespace chunkkv {

// Errors of all: INTERNAL CUDA_ERROR.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;

  // Of what Allocate gives.
  virtual MemoryPlace Place() const = 0;

  // Memory of the device, aligned to 256 bytes, with indeterminate contents. May wait for the device: not for each
  // request. Errors: RESOURCE_EXHAUSTED DEVICE_MEMORY_EXHAUSTED.
  virtual absl::StatusOr<void*> Allocate(size_t bytes) = 0;
  virtual void Free(void* memory) = 0;

  // Memory of the host that the device reads and writes, for copies at full speed. Errors: as Allocate.
  virtual absl::StatusOr<void*> AllocatePinned(size_t bytes) = 0;
  virtual void FreePinned(void* memory) = 0;

  // A stream for ExecutionContext::stream: what is started on it runs in that order.
  virtual absl::StatusOr<void*> CreateStream() = 0;
  virtual void DestroyStream(void* stream) = 0;

  // Starts a copy between any two of device, pinned and other memory. Other memory of the host is read, or written,
  // before it returns.
  virtual absl::Status CopyAsync(void* to, const void* from, size_t bytes, void* stream) = 0;

  // Blocks until everything started on `stream` is done.
  virtual absl::Status Synchronize(void* stream) = 0;
};

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_DEVICE_MEMORY_H_
