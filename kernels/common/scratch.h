// Cuts a workspace into arrays. The same sequence of Take calls, on a Scratch without memory, counts the bytes that
// the arrays need: WorkspaceBytes and Enqueue share one piece of code and cannot disagree.
#ifndef CHUNKKV_KERNELS_COMMON_SCRATCH_H_
#define CHUNKKV_KERNELS_COMMON_SCRATCH_H_

#include <cstddef>

namespace chunkkv {

class Scratch {
 public:
  Scratch() = default;
  // `memory` is aligned to kAlignment.
  explicit Scratch(std::byte* memory) : memory_(memory) {}

  static constexpr size_t kAlignment = 64;

  // `count` elements, aligned to kAlignment, with indeterminate values; null on a Scratch that only counts.
  template <typename T>
  T* Take(size_t count) {
    std::byte* taken = memory_ == nullptr ? nullptr : memory_ + used_bytes_;
    used_bytes_ += (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return reinterpret_cast<T*>(taken);
  }

  size_t UsedBytes() const { return used_bytes_; }

 private:
  std::byte* memory_ = nullptr;
  size_t used_bytes_ = 0;
};

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_COMMON_SCRATCH_H_
