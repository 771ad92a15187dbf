#include "tests/support/host_device_memory.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "chunkkv/kernels/status.h"

namespace chunkkv {
namespace {

constexpr std::align_val_t kAlignment{256};
constexpr int kGarbage = 0xff;

absl::Status BrokenStatus() { return ErrorStatus(absl::StatusCode::kInternal, "CUDA_ERROR", "the device is broken"); }

}  // namespace

HostDeviceMemory::~HostDeviceMemory() {
  if (held_count_ == 0) return;
  std::fprintf(stderr, "HostDeviceMemory: %d blocks or streams were not given back\n", held_count_.load());
  std::abort();
}

absl::StatusOr<void*> HostDeviceMemory::Allocate(size_t bytes) {
  if (is_broken_) return BrokenStatus();
  if (is_out_of_memory_) {
    return ErrorStatus(absl::StatusCode::kResourceExhausted, "DEVICE_MEMORY_EXHAUSTED", "the device's memory is full");
  }
  ++allocation_count_;
  ++held_count_;
  return std::memset(::operator new(bytes, kAlignment), kGarbage, bytes);
}

void HostDeviceMemory::Free(void* memory) {
  --held_count_;
  ::operator delete(memory, kAlignment);
}

absl::StatusOr<void*> HostDeviceMemory::AllocatePinned(size_t bytes) { return Allocate(bytes); }
void HostDeviceMemory::FreePinned(void* memory) { Free(memory); }

absl::StatusOr<void*> HostDeviceMemory::CreateStream() {
  if (is_broken_) return BrokenStatus();
  ++held_count_;
  return static_cast<void*>(this);
}
void HostDeviceMemory::DestroyStream(void*) { --held_count_; }

absl::Status HostDeviceMemory::CopyAsync(void* to, const void* from, size_t bytes, void*) {
  if (is_broken_) return BrokenStatus();
  if (bytes > 0) std::memcpy(to, from, bytes);
  return absl::OkStatus();
}

absl::Status HostDeviceMemory::Synchronize(void*) { return is_broken_ ? BrokenStatus() : absl::OkStatus(); }

}  // namespace chunkkv
