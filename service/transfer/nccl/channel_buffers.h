// Memory of the channels' device that messages pass through, and copies between it and the host.
#ifndef CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_BUFFERS_H_
#define CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_BUFFERS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/device_memory.h"
#include "service/base/mutex.h"
#include "service/format/bytes.h"

namespace chunkkv {

class ChannelBuffers;

// Room for one message. Given back on destruction, when nothing may touch it any more. Move-only.
class ChannelBuffer {
 public:
  ChannelBuffer() = default;
  ChannelBuffer(ChannelBuffer&& other) noexcept { *this = std::move(other); }
  ChannelBuffer& operator=(ChannelBuffer&& other) noexcept;
  ~ChannelBuffer() { GiveBack(/*reusable=*/true); }

  // Of the device.
  void* memory() const { return memory_.device; }
  // It may still be touched (DEVICE_STUCK), and so is never used again.
  void Abandon() { GiveBack(/*reusable=*/false); }

 private:
  friend class ChannelBuffers;
  struct Memory {
    std::byte* device = nullptr;
    std::byte* pinned = nullptr;
  };
  ChannelBuffer(ChannelBuffers* buffers, const Bytes16& channel, Memory memory)
      : buffers_(buffers), channel_(channel), memory_(memory) {}
  void GiveBack(bool reusable);

  ChannelBuffers* buffers_ = nullptr;
  Bytes16 channel_{};
  Memory memory_;
};

// Each channel has its own few, so that one whose peer does nothing keeps no other waiting. Thread-safe; must outlive
// its buffers. Errors of all: the device's (INTERNAL CUDA_ERROR).
class ChannelBuffers {
 public:
  static constexpr int64_t kBytes = int64_t{2} << 20;  // of a buffer: the longest message
  static constexpr int64_t kMostOfChannel = 4;
  static constexpr size_t kMostKept = 32;  // that nobody uses

  static absl::StatusOr<std::unique_ptr<ChannelBuffers>> Open(std::unique_ptr<DeviceMemory> memory);
  ~ChannelBuffers();

  // Empty: the channel has as many as it may; `free` is called, once, from any thread, when one has come back.
  // Errors: RESOURCE_EXHAUSTED DEVICE_MEMORY_EXHAUSTED.
  absl::StatusOr<std::optional<ChannelBuffer>> Take(const Bytes16& channel, std::function<void()> free);

  // At most kBytes. They block until the bytes are there, one copy in each direction at a time.
  absl::Status CopyIn(const ChannelBuffer& to, absl::Span<const std::byte> from);
  // From the buffer's beginning on, piece after piece.
  absl::Status CopyOut(absl::Span<const absl::Span<std::byte>> to, const ChannelBuffer& from);

  int64_t in_use() const;

 private:
  friend class ChannelBuffer;
  using Memory = ChannelBuffer::Memory;
  struct Lane {
    Mutex mutex;
    void* stream = nullptr;
  };
  struct Row {
    int64_t in_use = 0;
    std::vector<std::function<void()>> waiting;
  };

  explicit ChannelBuffers(std::unique_ptr<DeviceMemory> memory) : memory_(std::move(memory)) {}
  absl::StatusOr<Memory> Allocate();
  void Free(const Memory& memory);
  void GiveBack(const Bytes16& channel, const Memory& memory, bool reusable);
  absl::Status Copy(Lane& lane, std::byte* to, const std::byte* from, size_t size_bytes);

  const std::unique_ptr<DeviceMemory> memory_;
  Lane to_device_;
  Lane to_host_;
  mutable Mutex mutex_;
  absl::flat_hash_map<Bytes16, Row, FixedBytesHash> rows_ ABSL_GUARDED_BY(mutex_);
  std::vector<Memory> free_ ABSL_GUARDED_BY(mutex_);
  std::vector<Memory> abandoned_ ABSL_GUARDED_BY(mutex_);  // never given back
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_BUFFERS_H_
