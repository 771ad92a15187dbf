// The first failure of a batch, as kernels leave it in the context's word: the least of the words that they report.
#ifndef CHUNKKV_KERNELS_CUDA_FAILURE_H_
#define CHUNKKV_KERNELS_CUDA_FAILURE_H_

#include <cstdint>

#include "chunkkv/kernels/failure_word.h"
#include "kernels/simt/simt.h"

namespace chunkkv::cuda {

enum class FailureKind : uint32_t { kNonFinite = 1, kNegative = 2, kBadPosition = 3 };

// Order of a batch's stages: scoring, by the task's place; then copying.
inline constexpr int32_t kCopyOrder = (1 << 14) - 1;

inline constexpr int kKindBits = 3;
inline constexpr int kLayerBits = 13;
inline constexpr int kIndexBits = 34;
inline constexpr int64_t kMaxFailureIndex = (int64_t{1} << kIndexBits) - 1;

// What went wrong in element `index` of what is `order`-th in the batch, as a word that is less the earlier it is.
CHUNKKV_DEVICE uint64_t FailureWord(int32_t order, int64_t index, int32_t layer, FailureKind kind) {
  const auto bounded = static_cast<uint64_t>(index < kMaxFailureIndex ? index : kMaxFailureIndex);
  return (static_cast<uint64_t>(order) << (kIndexBits + kLayerBits + kKindBits)) |
         (bounded << (kLayerBits + kKindBits)) | (static_cast<uint64_t>(layer) << kKindBits) |
         static_cast<uint64_t>(kind);
}

// Reports the least of the lanes' words: one access to `failure`, which lies in the host's memory, or none where all
// are kNoFailure. By all lanes of the warp.
CHUNKKV_DEVICE void ReportLeast(uint64_t* failure, uint64_t word) {
  if (simt::Ballot(word != kNoFailure) == 0) return;
  for (int mask = 1; mask < simt::kWarpSize; mask *= 2) {
    const uint64_t other = simt::ShuffleXor(word, mask);
    if (other < word) word = other;
  }
  if (simt::Lane() == 0) simt::MinGlobal(failure, word);
}

// Of one thread alone: an access to the host's memory each.
CHUNKKV_DEVICE void ReportFailure(uint64_t* failure, int32_t order, int64_t index, int32_t layer, FailureKind kind) {
  simt::MinGlobal(failure, FailureWord(order, index, layer, kind));
}

inline FailureKind KindOfFailure(uint64_t word) { return static_cast<FailureKind>(word & ((1u << kKindBits) - 1)); }
inline int32_t LayerOfFailure(uint64_t word) {
  return static_cast<int32_t>((word >> kKindBits) & ((1u << kLayerBits) - 1));
}

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_FAILURE_H_
