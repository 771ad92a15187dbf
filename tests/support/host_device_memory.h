#ifndef CHUNKKV_TESTS_SUPPORT_HOST_DEVICE_MEMORY_H_
#define CHUNKKV_TESTS_SUPPORT_HOST_DEVICE_MEMORY_H_

#include <atomic>

#include "chunkkv/kernels/device_memory.h"

namespace chunkkv {

// The host's memory in a device's place: for the emulation of one, and for code that must bear a device that fails.
// Memory is of exactly the size asked for, and holds NaNs at first. What is started is done at once.
class HostDeviceMemory final : public DeviceMemory {
 public:
  ~HostDeviceMemory() override;

  // From now on allocations end RESOURCE_EXHAUSTED, or copies end INTERNAL, as a device's do.
  void RunOutOfMemory(bool is_out = true) { is_out_of_memory_ = is_out; }
  void Break() { is_broken_ = true; }

  int allocation_count() const { return allocation_count_; }  // ever

  MemoryPlace Place() const override { return {}; }
  absl::StatusOr<void*> Allocate(size_t bytes) override;
  void Free(void* memory) override;
  absl::StatusOr<void*> AllocatePinned(size_t bytes) override;
  void FreePinned(void* memory) override;
  absl::StatusOr<void*> CreateStream() override;
  void DestroyStream(void* stream) override;
  absl::Status CopyAsync(void* to, const void* from, size_t bytes, void* stream) override;
  absl::Status Synchronize(void* stream) override;

 private:
  std::atomic<bool> is_out_of_memory_{false};
  std::atomic<bool> is_broken_{false};
  std::atomic<int> allocation_count_{0};
  std::atomic<int> held_count_{0};  // blocks and streams
};

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_SUPPORT_HOST_DEVICE_MEMORY_H_
