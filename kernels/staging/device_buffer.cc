#include "kernels/staging/device_buffer.h"

#include <utility>

namespace chunkkv {

absl::Status DeviceBuffer::Reserve(size_t bytes) {
  if (bytes <= size_bytes_) return absl::OkStatus();
  Release();
  absl::StatusOr<void*> memory = kind_ == Kind::kPinned ? memory_.AllocatePinned(bytes) : memory_.Allocate(bytes);
  if (!memory.ok()) return memory.status();
  data_ = static_cast<std::byte*>(*memory);
  size_bytes_ = bytes;
  return absl::OkStatus();
}

void DeviceBuffer::Release() {
  size_bytes_ = 0;
  std::byte* memory = std::exchange(data_, nullptr);
  if (memory == nullptr) return;
  kind_ == Kind::kPinned ? memory_.FreePinned(memory) : memory_.Free(memory);
}

}  // namespace chunkkv
