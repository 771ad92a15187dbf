#ifndef CHUNKKV_TESTS_UNIT_KERNELS_DEVICE_HEAP_H_
#define CHUNKKV_TESTS_UNIT_KERNELS_DEVICE_HEAP_H_

#include <cstddef>
#include <memory>

#include "chunkkv/kernels/tensor_view.h"

namespace chunkkv::testing {

// Memory that a device implementation reads and writes. Blocks are of exactly the size asked for, aligned to 256 bytes.
class DeviceHeap {
 public:
  virtual ~DeviceHeap() = default;
  virtual MemoryPlace Place() const = 0;
  virtual void* Allocate(size_t bytes) = 0;
  virtual void Free(void* memory) = 0;
  virtual void CopyIn(void* device, const void* host, size_t bytes) = 0;
  virtual void CopyOut(void* host, const void* device, size_t bytes) = 0;
  // Of the host, that the device writes, too.
  virtual void* AllocatePinned(size_t bytes) = 0;
  virtual void FreePinned(void* memory) = 0;
};

// The host's own memory, for the emulation of a device.
std::unique_ptr<DeviceHeap> MakeHostHeap();

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_UNIT_KERNELS_DEVICE_HEAP_H_
