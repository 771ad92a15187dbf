// A device as a place to keep bytes: blocks within a budget, and copies from and to the host.
#ifndef CHUNKKV_SERVICE_MEMORY_DEVICE_STORAGE_H_
#define CHUNKKV_SERVICE_MEMORY_DEVICE_STORAGE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/device_memory.h"
#include "service/base/mutex.h"
#include "service/memory/device_pool.h"
#include "service/memory/host_registration.h"

namespace chunkkv {

// Thread-safe. Copies block until the bytes are there, one at a time in each direction: more would share one bus. Must
// outlive the blocks and registrations it gave out.
class DeviceStorage {
 public:
  // Errors: those of DeviceMemory::CreateStream.
  static absl::StatusOr<std::unique_ptr<DeviceStorage>> Open(std::unique_ptr<DeviceMemory> memory, int64_t budget_bytes,
                                                             int64_t slab_bytes = DevicePool::kSlabBytes);
  ~DeviceStorage();

  DevicePool& pool() { return pool_; }
  const DevicePool& pool() const { return pool_; }

  // Both sizes are the same. Errors: of the device; INTERNAL means that it is lost.
  absl::Status CopyToDevice(const DeviceBlock& to, absl::Span<const std::byte> from);
  absl::Status CopyToHost(absl::Span<std::byte> to, const DeviceBlock& from);

  // So that copies of `bytes` run at full speed. Of nothing where it cannot be had; errors: of a device that is lost.
  absl::StatusOr<HostRegistration> Register(absl::Span<std::byte> bytes);

 private:
  struct Lane {
    Mutex mutex;
    void* stream = nullptr;
  };

  DeviceStorage(std::unique_ptr<DeviceMemory> memory, int64_t budget_bytes, int64_t slab_bytes)
      : memory_(std::move(memory)), pool_(*memory_, budget_bytes, slab_bytes) {}
  absl::Status Copy(Lane& lane, void* to, const void* from, size_t bytes);

  const std::unique_ptr<DeviceMemory> memory_;
  DevicePool pool_;
  Lane to_device_;
  Lane to_host_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_MEMORY_DEVICE_STORAGE_H_
