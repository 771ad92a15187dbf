#include "tests/unit/kernels/device_heap.h"

#include <cstring>
#include <new>

namespace chunkkv::testing {
namespace {

class HostHeap final : public DeviceHeap {
 public:
  MemoryPlace Place() const override { return {}; }
  // Holds NaNs, so that what a kernel reads before it writes it shows.
  void* Allocate(size_t bytes) override { return std::memset(::operator new(bytes, kAlignment), 0xff, bytes); }
  void Free(void* memory) override { ::operator delete(memory, kAlignment); }
  void CopyIn(void* device, const void* host, size_t bytes) override { std::memcpy(device, host, bytes); }
  void CopyOut(void* host, const void* device, size_t bytes) override { std::memcpy(host, device, bytes); }
  void* AllocatePinned(size_t bytes) override { return Allocate(bytes); }
  void FreePinned(void* memory) override { Free(memory); }

 private:
  static constexpr std::align_val_t kAlignment{256};
};

}  // namespace

std::unique_ptr<DeviceHeap> MakeHostHeap() { return std::make_unique<HostHeap>(); }

}  // namespace chunkkv::testing
