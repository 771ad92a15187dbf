// Stands in for libcuda.so.1 where programs are tested that hand device memory to a server: "device memory" is mapped
// files in memory, which host_device_memory.h imports.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>

#include "tests/support/host_device_handle.h"

namespace {

constexpr int kSuccess = 0;
constexpr int kInvalidValue = 1;

// What an allocation was made by, and can be exported as.
enum Kind { kMalloc = 0, kCreate = 1, kPool = 2 };

struct Allocation {
  size_t bytes;
  int descriptor;
  Kind kind;
};

std::mutex mutex;
std::map<uint64_t, Allocation> allocations;  // by address

// Null where an address is in none. The lock is held.
const std::pair<const uint64_t, Allocation>* Find(uint64_t address) {
  const auto after = allocations.upper_bound(address);
  if (after == allocations.begin()) return nullptr;
  const auto found = std::prev(after);
  return address < found->first + found->second.bytes ? &*found : nullptr;
}

}  // namespace

extern "C" {

// `count` allocations of the kind, one behind the other; null where there is no memory. For tests.
void* HostCudaAllocate(int kind, size_t bytes, int count) {
  void* const reserved = mmap(nullptr, bytes * count, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (reserved == MAP_FAILED) return nullptr;
  for (int i = 0; i < count; ++i) {
    char* const at = static_cast<char*>(reserved) + i * bytes;
    const int descriptor = memfd_create("device", MFD_CLOEXEC);
    if (descriptor < 0 || ftruncate(descriptor, static_cast<off_t>(bytes)) != 0 ||
        mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, descriptor, 0) == MAP_FAILED) {
      return nullptr;
    }
    const std::lock_guard<std::mutex> lock(mutex);
    allocations[reinterpret_cast<uint64_t>(at)] = {bytes, descriptor, static_cast<Kind>(kind)};
  }
  return reserved;
}

int cuMemGetAddressRange_v2(uint64_t* base, size_t* bytes, uint64_t address) {
  const std::lock_guard<std::mutex> lock(mutex);
  const auto* const found = Find(address);
  if (found == nullptr) return kInvalidValue;
  *base = found->first;
  *bytes = found->second.bytes;
  return kSuccess;
}

int cuIpcGetMemHandle(char* handle, uint64_t address) {
  const std::lock_guard<std::mutex> lock(mutex);
  const auto* const found = Find(address);
  if (found == nullptr || found->second.kind != kMalloc) return kInvalidValue;
  const chunkkv::HostDeviceHandle fields = {chunkkv::HostDeviceHandle::kMagic, getpid(), found->second.descriptor,
                                            found->second.bytes};
  std::memset(handle, 0, 64);
  std::memcpy(handle, &fields, sizeof fields);
  return kSuccess;
}

int cuMemRetainAllocationHandle(uint64_t* handle, void* address) {
  const std::lock_guard<std::mutex> lock(mutex);
  const auto* const found = Find(reinterpret_cast<uint64_t>(address));
  if (found == nullptr || found->second.kind != kCreate) return kInvalidValue;
  *handle = static_cast<uint64_t>(found->second.descriptor);
  return kSuccess;
}

int cuMemExportToShareableHandle(void* descriptor, uint64_t handle, int type, unsigned long long) {
  if (type != 1) return kInvalidValue;
  *static_cast<int*>(descriptor) = fcntl(static_cast<int>(handle), F_DUPFD_CLOEXEC, 0);
  return kSuccess;
}

int cuMemRelease(uint64_t) { return kSuccess; }

}  // extern "C"
