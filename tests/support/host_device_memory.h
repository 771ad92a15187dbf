#ifndef CHUNKKV_TESTS_SUPPORT_HOST_DEVICE_MEMORY_H_
#define CHUNKKV_TESTS_SUPPORT_HOST_DEVICE_MEMORY_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>

#include "chunkkv/kernels/device_memory.h"

namespace chunkkv {

// The host's memory in a device's place: for the emulation of one, and for code that must bear a device that fails.
// Memory is of exactly the size asked for, and holds NaNs at first. What is started is done at once. Aborts where
// something was not given back, or what is registered or freed never was there.
class HostDeviceMemory final : public DeviceMemory {
 public:
  ~HostDeviceMemory() override;

  // From now on allocations end RESOURCE_EXHAUSTED, or everything ends INTERNAL, as a device's does.
  void RunOutOfMemory(bool is_out = true) { is_out_of_memory_ = is_out; }
  void Break() { is_broken_ = true; }
  // The same from the call on after `call_count` more that could fail; or of that allocation alone.
  void BreakAfter(int call_count) { calls_left_ = call_count; }
  void RunOutOfMemoryOnce(int allocation_count) { allocations_left_ = allocation_count; }

  // Memory that ImportHandle finds: a file in memory, of this process, for as long as it is open.
  static IpcHandle HandleOf(int descriptor, size_t bytes);

  // Flips a bit at the beginning of every slab.
  void DamageSlabs();

  int allocation_count() const { return allocation_count_; }  // ever
  int call_count() const { return call_count_; }              // ever, of those that can fail
  bool is_broken() const { return is_broken_; }
  int64_t slab_bytes() const { return slab_bytes_; }
  int registration_count() const;  // now
  int imported_count() const;      // now

  MemoryPlace Place() const override { return {}; }
  absl::StatusOr<void*> Allocate(size_t bytes) override;
  void Free(void* memory) override;
  absl::StatusOr<void*> AllocatePinned(size_t bytes) override;
  void FreePinned(void* memory) override;
  absl::StatusOr<void*> AllocateSlab(size_t bytes) override;
  void FreeSlab(void* slab) override;
  absl::StatusOr<int> ExportDescriptor(void* slab) override;
  absl::StatusOr<ImportedMemory> ImportHandle(const IpcHandle& handle) override;
  // Files in memory, of exactly these sizes.
  absl::StatusOr<ImportedMemory> ImportSegments(absl::Span<const ExportedSegment> segments) override;
  void CloseImported(std::byte* data) override;
  absl::Status RegisterHost(void* memory, size_t bytes) override;
  void UnregisterHost(void* memory) override;
  absl::StatusOr<void*> CreateStream() override;
  void DestroyStream(void* stream) override;
  absl::Status CopyAsync(void* to, const void* from, size_t bytes, void* stream) override;
  absl::Status Synchronize(void* stream) override;

 private:
  struct Slab {
    int descriptor;
    size_t bytes;
  };

  absl::Status CheckCall();
  absl::Status CheckAllocation();

  std::atomic<bool> is_out_of_memory_{false};
  std::atomic<bool> is_broken_{false};
  std::atomic<int> calls_left_{-1};
  std::atomic<int> allocations_left_{-1};
  std::atomic<int> allocation_count_{0};
  std::atomic<int> call_count_{0};
  std::atomic<int> held_count_{0};  // blocks, slabs, imported memory, registrations and streams
  std::atomic<int64_t> slab_bytes_{0};
  mutable std::mutex mutex_;
  std::map<void*, Slab> slabs_;
  std::map<std::byte*, size_t> imported_;  // bytes by address
  std::map<const std::byte*, size_t> registered_;  // bytes from an address on
};

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_SUPPORT_HOST_DEVICE_MEMORY_H_
