#include "service/memory/device_pool.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "chunkkv/kernels/status.h"
#include "service/base/check.h"
#include "service/base/status_macros.h"

namespace chunkkv {
namespace {

constexpr auto kGranularityBytes = static_cast<int64_t>(kSlabGranularityBytes);

int64_t RoundUp(int64_t bytes, int64_t multiple) { return (bytes + multiple - 1) / multiple * multiple; }

}  // namespace

DeviceBlock& DeviceBlock::operator=(DeviceBlock&& other) noexcept {
  if (this != &other) {
    Free();
    pool_ = std::exchange(other.pool_, nullptr);
    data_ = std::exchange(other.data_, nullptr);
    size_bytes_ = std::exchange(other.size_bytes_, 0);
  }
  return *this;
}

void DeviceBlock::Free() {
  if (pool_ != nullptr) pool_->Free(data_, size_bytes_);
  pool_ = nullptr;
}

int64_t DevicePool::ChargedBytes(int64_t size_bytes) { return RoundUp(size_bytes, kAlignmentBytes); }

DevicePool::DevicePool(DeviceMemory& memory, int64_t limit_bytes, int64_t slab_bytes)
    : memory_(memory), limit_bytes_(limit_bytes), slab_bytes_(RoundUp(slab_bytes, kGranularityBytes)) {}

DevicePool::~DevicePool() { CHUNKKV_CHECK(slab_bytes() == 0); }

absl::StatusOr<DeviceBlock> DevicePool::Allocate(int64_t size_bytes) {
  CHUNKKV_CHECK(size_bytes > 0);
  if (size_bytes > limit_bytes_) {
    return ErrorStatus(absl::StatusCode::kResourceExhausted, "DEVICE_BUDGET",
                       std::to_string(size_bytes) + " bytes are more than the budget");
  }
  const int64_t charged_bytes = ChargedBytes(size_bytes);
  MutexLock lock(mutex_);
  auto best = free_by_size_.lower_bound({charged_bytes, nullptr});
  if (best == free_by_size_.end()) {
    CHUNKKV_RETURN_IF_ERROR(Grow(charged_bytes));
    best = free_by_size_.lower_bound({charged_bytes, nullptr});
  }
  const auto [free_bytes, data] = *best;
  EraseFree(data, free_bytes);
  if (free_bytes > charged_bytes) AddFree(data + charged_bytes, free_bytes - charged_bytes);
  SlabOf(data)->second.free_bytes -= charged_bytes;
  return DeviceBlock(this, data, size_bytes);
}

absl::Status DevicePool::Grow(int64_t charged_bytes) {
  const int64_t needed_bytes = RoundUp(charged_bytes, kGranularityBytes);
  const int64_t left_bytes = (limit_bytes_ - slab_bytes()) / kGranularityBytes * kGranularityBytes;
  if (needed_bytes > left_bytes) {
    return ErrorStatus(absl::StatusCode::kResourceExhausted, "DEVICE_BUDGET",
                       std::to_string(needed_bytes) + " bytes do not fit beside what is held");
  }
  int64_t bytes = std::max(needed_bytes, std::min(slab_bytes_, left_bytes));
  absl::StatusOr<void*> slab = memory_.AllocateSlab(static_cast<size_t>(bytes));
  if (slab.status().code() == absl::StatusCode::kResourceExhausted && bytes > needed_bytes) {
    bytes = needed_bytes;
    slab = memory_.AllocateSlab(static_cast<size_t>(bytes));
  }
  CHUNKKV_RETURN_IF_ERROR(slab.status());
  auto* const data = static_cast<std::byte*>(*slab);
  slab_bytes_in_use_ += bytes;
  slabs_[data] = {bytes, bytes};
  AddFree(data, bytes);
  return absl::OkStatus();
}

void DevicePool::Free(std::byte* data, int64_t size_bytes) {
  int64_t bytes = ChargedBytes(size_bytes);
  MutexLock lock(mutex_);
  const auto slab = SlabOf(data);
  std::byte* const slab_begin = slab->first;
  const int64_t slab_bytes = slab->second.size_bytes;
  slab->second.free_bytes += bytes;
  // Slabs may lie side by side: ranges of two are never joined.
  const auto next = free_by_address_.lower_bound(data);
  const bool joins_next =
      next != free_by_address_.end() && next->first == data + bytes && next->first < slab_begin + slab_bytes;
  bool joins_previous = false;
  std::pair<std::byte*, int64_t> previous;
  if (next != free_by_address_.begin()) {
    previous = *std::prev(next);
    joins_previous = previous.first >= slab_begin && previous.first + previous.second == data;
  }
  if (joins_next) {
    const auto [next_data, next_bytes] = *next;
    EraseFree(next_data, next_bytes);
    bytes += next_bytes;
  }
  if (joins_previous) {
    EraseFree(previous.first, previous.second);
    data = previous.first;
    bytes += previous.second;
  }
  if (slab->second.free_bytes < slab_bytes) return AddFree(data, bytes);
  slabs_.erase(slab);
  memory_.FreeSlab(slab_begin);
  slab_bytes_in_use_ -= slab_bytes;
}

void DevicePool::AddFree(std::byte* data, int64_t size_bytes) {
  free_by_address_[data] = size_bytes;
  free_by_size_.insert({size_bytes, data});
}

void DevicePool::EraseFree(std::byte* data, int64_t size_bytes) {
  free_by_address_.erase(data);
  free_by_size_.erase({size_bytes, data});
}

std::map<std::byte*, DevicePool::Slab>::iterator DevicePool::SlabOf(std::byte* data) {
  return std::prev(slabs_.upper_bound(data));
}

}  // namespace chunkkv
