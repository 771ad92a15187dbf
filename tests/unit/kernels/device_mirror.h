#ifndef CHUNKKV_TESTS_UNIT_KERNELS_DEVICE_MIRROR_H_
#define CHUNKKV_TESTS_UNIT_KERNELS_DEVICE_MIRROR_H_

#include <cstddef>
#include <map>
#include <vector>

#include "chunkkv/kernels/device_memory.h"

namespace chunkkv::testing {

// Copies of ranges of the host's memory on a device. Ranges that lie in one that is mirrored already share its copy.
// Aborts where the device fails.
class DeviceMirror {
 public:
  DeviceMirror(DeviceMemory& memory, void* stream) : memory_(memory), stream_(stream) {}
  ~DeviceMirror();
  DeviceMirror(const DeviceMirror&) = delete;
  DeviceMirror& operator=(const DeviceMirror&) = delete;

  // Address on the device of a copy of [host, host + bytes).
  template <typename T>
  T* In(T* host, size_t bytes) {
    return static_cast<T*>(const_cast<void*>(Mirror(host, bytes)));
  }

  // The same, of memory that CopyBack writes back to the host.
  template <typename T>
  T* Out(T* host, size_t bytes) {
    T* device = In(host, bytes);
    if (device != nullptr) outputs_.push_back({host, device, bytes});
    return device;
  }

  void CopyBack();

 private:
  struct Range {
    size_t bytes;
    void* device;
  };
  struct Output {
    void* host;
    const void* device;
    size_t bytes;
  };
  const void* Mirror(const void* host, size_t bytes);
  void Copy(void* to, const void* from, size_t bytes);

  DeviceMemory& memory_;
  void* stream_;
  std::map<const std::byte*, Range> ranges_;  // by their first byte on the host
  std::vector<Output> outputs_;
};

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_UNIT_KERNELS_DEVICE_MIRROR_H_
