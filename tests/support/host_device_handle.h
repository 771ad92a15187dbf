// What an IPC handle of memory says that stands in for a device's: a file in memory of a process.
#ifndef CHUNKKV_TESTS_SUPPORT_HOST_DEVICE_HANDLE_H_
#define CHUNKKV_TESTS_SUPPORT_HOST_DEVICE_HANDLE_H_

#include <cstdint>

namespace chunkkv {

struct HostDeviceHandle {
  static constexpr uint32_t kMagic = 0x484F5354;
  uint32_t magic;
  int32_t process;
  int64_t descriptor;
  uint64_t bytes;
};

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_SUPPORT_HOST_DEVICE_HANDLE_H_
