// Mapped memory of the host, pinned for a device for as long as this lives.
#ifndef CHUNKKV_SERVICE_MEMORY_HOST_REGISTRATION_H_
#define CHUNKKV_SERVICE_MEMORY_HOST_REGISTRATION_H_

#include <cstddef>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/device_memory.h"

namespace chunkkv {

// Ends before the mapping does. Move-only.
class HostRegistration {
 public:
  HostRegistration() = default;  // of nothing
  // `bytes` are not empty; `memory` must outlive this. Errors: as DeviceMemory::RegisterHost.
  static absl::StatusOr<HostRegistration> Register(DeviceMemory& memory, absl::Span<std::byte> bytes) {
    if (absl::Status status = memory.RegisterHost(bytes.data(), bytes.size()); !status.ok()) return status;
    HostRegistration registration;
    registration.memory_ = &memory;
    registration.begin_ = bytes.data();
    return registration;
  }
  HostRegistration(HostRegistration&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)), begin_(other.begin_) {}
  HostRegistration& operator=(HostRegistration&&) = delete;
  ~HostRegistration() {
    if (memory_ != nullptr) memory_->UnregisterHost(begin_);
  }

 private:
  DeviceMemory* memory_ = nullptr;
  std::byte* begin_ = nullptr;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_MEMORY_HOST_REGISTRATION_H_
