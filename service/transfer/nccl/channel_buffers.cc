#include "service/transfer/nccl/channel_buffers.h"

#include <cstring>

#include "service/base/check.h"
#include "service/base/status_macros.h"

namespace chunkkv {

ChannelBuffer& ChannelBuffer::operator=(ChannelBuffer&& other) noexcept {
  if (this == &other) return *this;
  GiveBack(/*reusable=*/true);
  buffers_ = std::exchange(other.buffers_, nullptr);
  channel_ = other.channel_;
  memory_ = other.memory_;
  return *this;
}

void ChannelBuffer::GiveBack(bool reusable) {
  if (buffers_ != nullptr) std::exchange(buffers_, nullptr)->GiveBack(channel_, memory_, reusable);
}

absl::StatusOr<std::unique_ptr<ChannelBuffers>> ChannelBuffers::Open(std::unique_ptr<DeviceMemory> memory) {
  std::unique_ptr<ChannelBuffers> buffers(new ChannelBuffers(std::move(memory)));
  CHUNKKV_ASSIGN_OR_RETURN(buffers->to_device_.stream, buffers->memory_->CreateStream());
  CHUNKKV_ASSIGN_OR_RETURN(buffers->to_host_.stream, buffers->memory_->CreateStream());
  return buffers;
}

ChannelBuffers::~ChannelBuffers() {
  for (const Memory& memory : free_) Free(memory);
  for (const Lane* lane : {&to_device_, &to_host_}) {
    if (lane->stream != nullptr) memory_->DestroyStream(lane->stream);
  }
}

absl::StatusOr<std::optional<ChannelBuffer>> ChannelBuffers::Take(const Bytes16& channel, std::function<void()> free) {
  {
    MutexLock lock(mutex_);
    Row& row = rows_[channel];
    if (row.in_use == kMostOfChannel) {
      row.waiting.push_back(std::move(free));
      return std::nullopt;
    }
    ++row.in_use;
    if (!free_.empty()) {
      const Memory memory = free_.back();
      free_.pop_back();
      return ChannelBuffer(this, channel, memory);
    }
  }
  absl::StatusOr<Memory> memory = Allocate();
  // Without memory: the place alone is given back where there is none.
  ChannelBuffer buffer(this, channel, memory.ok() ? *memory : Memory());
  if (!memory.ok()) return memory.status();
  return buffer;
}

absl::StatusOr<ChannelBuffers::Memory> ChannelBuffers::Allocate() {
  Memory memory;
  CHUNKKV_ASSIGN_OR_RETURN(void* const device, memory_->Allocate(kBytes));
  memory.device = static_cast<std::byte*>(device);
  absl::StatusOr<void*> pinned = memory_->AllocatePinned(kBytes);
  if (!pinned.ok()) {
    memory_->Free(device);
    return pinned.status();
  }
  memory.pinned = static_cast<std::byte*>(*pinned);
  return memory;
}

void ChannelBuffers::Free(const Memory& memory) {
  memory_->Free(memory.device);
  memory_->FreePinned(memory.pinned);
}

void ChannelBuffers::GiveBack(const Bytes16& channel, const Memory& memory, bool reusable) {
  std::vector<std::function<void()>> waiting;
  bool is_too_many = false;
  {
    MutexLock lock(mutex_);
    const auto found = rows_.find(channel);
    CHUNKKV_CHECK(found != rows_.end());
    waiting.swap(found->second.waiting);
    if (--found->second.in_use == 0) rows_.erase(found);
    if (!reusable) abandoned_.push_back(memory);
    if (reusable && memory.device != nullptr) {
      is_too_many = free_.size() == kMostKept;
      if (!is_too_many) free_.push_back(memory);
    }
  }
  if (is_too_many) Free(memory);
  // All of them: whoever no longer needs one would not let the next know.
  for (const auto& free : waiting) free();
}

absl::Status ChannelBuffers::Copy(Lane& lane, std::byte* to, const std::byte* from, size_t size_bytes) {
  MutexLock lock(lane.mutex);
  CHUNKKV_RETURN_IF_ERROR(memory_->CopyAsync(to, from, size_bytes, lane.stream));
  return memory_->Synchronize(lane.stream);
}

absl::Status ChannelBuffers::CopyIn(const ChannelBuffer& to, absl::Span<const std::byte> from) {
  if (!from.empty()) std::memcpy(to.memory_.pinned, from.data(), from.size());
  return Copy(to_device_, to.memory_.device, to.memory_.pinned, from.size());
}

absl::Status ChannelBuffers::CopyOut(absl::Span<const absl::Span<std::byte>> to, const ChannelBuffer& from) {
  size_t size_bytes = 0;
  for (const absl::Span<std::byte> piece : to) size_bytes += piece.size();
  CHUNKKV_RETURN_IF_ERROR(Copy(to_host_, from.memory_.pinned, from.memory_.device, size_bytes));
  const std::byte* at = from.memory_.pinned;
  for (const absl::Span<std::byte> piece : to) {
    if (!piece.empty()) std::memcpy(piece.data(), at, piece.size());
    at += piece.size();
  }
  return absl::OkStatus();
}

int64_t ChannelBuffers::in_use() const {
  int64_t count = 0;
  MutexLock lock(mutex_);
  for (const auto& [channel, row] : rows_) count += row.in_use;
  return count;
}

}  // namespace chunkkv
