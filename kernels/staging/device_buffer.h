#ifndef CHUNKKV_KERNELS_STAGING_DEVICE_BUFFER_H_
#define CHUNKKV_KERNELS_STAGING_DEVICE_BUFFER_H_

#include <cstddef>

#include "absl/status/status.h"
#include "chunkkv/kernels/device_memory.h"

namespace chunkkv {

// Device memory, or pinned memory, that grows to the largest size asked for and keeps it.
class DeviceBuffer {
 public:
  enum class Kind { kDevice, kPinned };

  DeviceBuffer(DeviceMemory& memory, Kind kind) : memory_(memory), kind_(kind) {}
  ~DeviceBuffer() { Release(); }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  // Makes data() at least `bytes` long; what it held is lost where it grows. Nothing may be using it.
  absl::Status Reserve(size_t bytes);
  std::byte* data() const { return data_; }

 private:
  void Release();

  DeviceMemory& memory_;
  Kind kind_;
  std::byte* data_ = nullptr;
  size_t size_bytes_ = 0;
};

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_STAGING_DEVICE_BUFFER_H_
