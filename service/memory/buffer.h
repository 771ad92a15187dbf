// Host memory of its own mapping, charged to a budget for as long as it lives.
//
// Large and page-aligned, with huge pages where the system allows. Unmapped on destruction, so that resident memory
// falls with the budget's use. Move-only; the bytes are not thread-safe by themselves.
#ifndef CHUNKKV_SERVICE_MEMORY_BUFFER_H_
#define CHUNKKV_SERVICE_MEMORY_BUFFER_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "service/memory/budget.h"

namespace chunkkv {

class Buffer {
 public:
  // Memory that other processes can map, too, is a file of its own: small pages, unless the system gives such files
  // huge ones.
  enum class Kind : uint8_t { kPrivate, kShareable };

  Buffer() = default;
  // Zero-filled. `share` must cover ChargedBytes(size_bytes); what is beyond is given back.
  // Errors: RESOURCE_EXHAUSTED (OUT_OF_MEMORY).
  static absl::StatusOr<Buffer> Allocate(int64_t size_bytes, BudgetShare share, Kind kind = Kind::kPrivate);
  // What a buffer of this size takes of a budget: whole pages.
  static int64_t ChargedBytes(int64_t size_bytes);

  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  // Of shareable memory: from now on nobody but who holds this buffer can ever write to it, or change its size. Once,
  // before the descriptor is handed out. Errors: INTERNAL (SEAL).
  absl::Status Seal();
  // Of shareable memory of at least one byte, else -1. Open for as long as the buffer lives.
  int descriptor() const { return descriptor_; }

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  int64_t size_bytes() const { return size_bytes_; }
  absl::Span<std::byte> span() { return {data_, static_cast<size_t>(size_bytes_)}; }
  absl::Span<const std::byte> span() const { return {data_, static_cast<size_t>(size_bytes_)}; }

 private:
  void Free();

  std::byte* data_ = nullptr;
  int64_t size_bytes_ = 0;
  int descriptor_ = -1;
  BudgetShare share_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_MEMORY_BUFFER_H_
