// Device memory in blocks of any size, cut from slabs that are taken from the device as they are needed.
//
// The budget counts whole slabs, since that is what the device is short of, and is never exceeded. A slab that is empty
// goes back at once. Best fit, neighbours that are free become one. Thread-safe; must outlive its blocks.
#ifndef CHUNKKV_SERVICE_MEMORY_DEVICE_POOL_H_
#define CHUNKKV_SERVICE_MEMORY_DEVICE_POOL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "absl/status/statusor.h"
#include "chunkkv/kernels/device_memory.h"
#include "service/base/mutex.h"

namespace chunkkv {

class DevicePool;

// Given back on destruction, when nothing on the device may be using it any more. Move-only.
class DeviceBlock {
 public:
  DeviceBlock() = default;
  DeviceBlock(DeviceBlock&& other) noexcept { *this = std::move(other); }
  DeviceBlock& operator=(DeviceBlock&& other) noexcept;
  ~DeviceBlock() { Free(); }

  // Aligned to DevicePool::kAlignmentBytes. Of the device: the host cannot read it.
  std::byte* data() const { return data_; }
  int64_t size_bytes() const { return size_bytes_; }

 private:
  friend class DevicePool;
  DeviceBlock(DevicePool* pool, std::byte* data, int64_t size_bytes)
      : pool_(pool), data_(data), size_bytes_(size_bytes) {}
  void Free();

  DevicePool* pool_ = nullptr;
  std::byte* data_ = nullptr;
  int64_t size_bytes_ = 0;
};

class DevicePool {
 public:
  static constexpr int64_t kAlignmentBytes = 512;
  static constexpr int64_t kSlabBytes = int64_t{64} << 20;

  // Slabs have `slab_bytes`, more where a block needs it, less where the budget ends. `memory` must outlive the pool.
  DevicePool(DeviceMemory& memory, int64_t limit_bytes, int64_t slab_bytes = kSlabBytes);
  ~DevicePool();

  // With indeterminate contents; `size_bytes` is positive. Errors: RESOURCE_EXHAUSTED DEVICE_BUDGET (of this pool),
  // DEVICE_MEMORY_EXHAUSTED (of the device itself); any other of the device.
  absl::StatusOr<DeviceBlock> Allocate(int64_t size_bytes);

  int64_t limit_bytes() const { return limit_bytes_; }
  // Taken of the budget.
  int64_t slab_bytes() const { return slab_bytes_in_use_.load(std::memory_order_relaxed); }
  // What a block of this size takes of its slab.
  static int64_t ChargedBytes(int64_t size_bytes);

 private:
  friend class DeviceBlock;
  struct Slab {
    int64_t size_bytes = 0;
    int64_t free_bytes = 0;
  };

  void Free(std::byte* data, int64_t size_bytes);
  // Adds a slab that a block of `charged_bytes` fits into.
  absl::Status Grow(int64_t charged_bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AddFree(std::byte* data, int64_t size_bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EraseFree(std::byte* data, int64_t size_bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::map<std::byte*, Slab>::iterator SlabOf(std::byte* data) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  DeviceMemory& memory_;
  const int64_t limit_bytes_;
  const int64_t slab_bytes_;
  std::atomic<int64_t> slab_bytes_in_use_{0};
  Mutex mutex_;
  std::map<std::byte*, Slab> slabs_ ABSL_GUARDED_BY(mutex_);  // by address
  // Free ranges, by address and by size; none touches another of the same slab.
  std::map<std::byte*, int64_t> free_by_address_ ABSL_GUARDED_BY(mutex_);
  std::set<std::pair<int64_t, std::byte*>> free_by_size_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_MEMORY_DEVICE_POOL_H_
