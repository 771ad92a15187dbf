#include "service/memory/device_storage.h"

#include "service/base/check.h"
#include "service/base/status_macros.h"

namespace chunkkv {

absl::StatusOr<std::unique_ptr<DeviceStorage>> DeviceStorage::Open(std::unique_ptr<DeviceMemory> memory,
                                                                   int64_t budget_bytes, int64_t slab_bytes) {
  std::unique_ptr<DeviceStorage> storage(new DeviceStorage(std::move(memory), budget_bytes, slab_bytes));
  for (Lane* const lane : {&storage->to_device_, &storage->to_host_}) {
    CHUNKKV_ASSIGN_OR_RETURN(lane->stream, storage->memory_->CreateStream());
  }
  return storage;
}

DeviceStorage::~DeviceStorage() {
  for (const Lane* const lane : {&to_device_, &to_host_}) {
    if (lane->stream != nullptr) memory_->DestroyStream(lane->stream);
  }
}

absl::Status DeviceStorage::CopyToDevice(const DeviceBlock& to, absl::Span<const std::byte> from) {
  CHUNKKV_CHECK(static_cast<int64_t>(from.size()) == to.size_bytes());
  return Copy(to_device_, to.data(), from.data(), from.size());
}

absl::Status DeviceStorage::CopyToHost(absl::Span<std::byte> to, const DeviceBlock& from) {
  CHUNKKV_CHECK(static_cast<int64_t>(to.size()) == from.size_bytes());
  return Copy(to_host_, to.data(), from.data(), to.size());
}

absl::StatusOr<HostRegistration> DeviceStorage::Register(absl::Span<std::byte> bytes) {
  absl::StatusOr<HostRegistration> registration = HostRegistration::Register(*memory_, bytes);
  const absl::StatusCode code = registration.status().code();
  if (code == absl::StatusCode::kResourceExhausted || code == absl::StatusCode::kUnimplemented) {
    return HostRegistration();
  }
  return registration;
}

absl::Status DeviceStorage::Copy(Lane& lane, void* to, const void* from, size_t bytes) {
  MutexLock lock(lane.mutex);
  CHUNKKV_RETURN_IF_ERROR(memory_->CopyAsync(to, from, bytes, lane.stream));
  return memory_->Synchronize(lane.stream);
}

}  // namespace chunkkv
