// Memory and streams of a device, as code that runs on the host asks for them.
//
// A CUDA device has the one real implementation (cuda.h); tests have one on the host, which can fail on demand.
// Thread-safe. What it gives belongs to the caller until it is given back; it must outlive all of it.
#ifndef CHUNKKV_KERNELS_DEVICE_MEMORY_H_
#define CHUNKKV_KERNELS_DEVICE_MEMORY_H_

#include <array>
#include <cstddef>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/tensor_view.h"

namespace chunkkv {

// What slabs are made of: their sizes are multiples of it.
inline constexpr size_t kSlabGranularityBytes = size_t{2} << 20;

// As cudaIpcGetMemHandle makes it.
using IpcHandle = std::array<std::byte, 64>;

// Memory that another process owns, where this one reaches it.
struct ImportedMemory {
  std::byte* data = nullptr;
  size_t bytes = 0;
};

// An allocation that another process has exported: not closed here.
struct ExportedSegment {
  int descriptor = -1;
  size_t bytes = 0;  // a multiple of kSlabGranularityBytes
};

// Errors of all: INTERNAL CUDA_ERROR, after which nothing but giving back is to be expected of the device.
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

  // A slab: memory of the device that other processes can be given, aligned to 512 bytes at least, with indeterminate
  // contents. `bytes` is a multiple of kSlabGranularityBytes. Nothing may be using a slab that is freed.
  // Errors: as Allocate; UNIMPLEMENTED SLABS where the device has no such memory.
  virtual absl::StatusOr<void*> AllocateSlab(size_t bytes) = 0;
  virtual void FreeSlab(void* slab) = 0;
  // A POSIX file descriptor of the slab's memory, the caller's to close. The memory lives until the slab is freed, the
  // descriptor is closed, and whoever imported it is done.
  virtual absl::StatusOr<int> ExportDescriptor(void* slab) = 0;

  // The allocation that a handle names, all of it; the same one may be imported again. Errors: FAILED_PRECONDITION
  // NOT_IPC_MEMORY (the handle names nothing that this process can reach, or memory of this process); as Allocate.
  virtual absl::StatusOr<ImportedMemory> ImportHandle(const IpcHandle& handle) = 0;
  // Allocations whose descriptors other processes have exported, one behind the other. Errors: FAILED_PRECONDITION
  // NOT_DEVICE_MEMORY (a descriptor of something else, or a size that is not the allocation's); as AllocateSlab.
  virtual absl::StatusOr<ImportedMemory> ImportSegments(absl::Span<const ExportedSegment> segments) = 0;
  // Gives imported memory back, when nothing on the device may be using it any more.
  virtual void CloseImported(std::byte* data) = 0;

  // Makes memory that the caller has mapped pinned, for as long as it is registered: the caller's mapping, and what is
  // in it, outlive the device. No two registrations may overlap. Errors: RESOURCE_EXHAUSTED DEVICE_MEMORY_EXHAUSTED,
  // UNIMPLEMENTED HOST_REGISTRATION; copies of this memory are as good without it, but slower.
  virtual absl::Status RegisterHost(void* memory, size_t bytes) = 0;
  virtual void UnregisterHost(void* memory) = 0;

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
