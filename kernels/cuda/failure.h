// The first failure of a batch, as kernels leave it in the context's word: the least of the words that they report.
#ifndef CHUNKKV_KERNELS_CUDA_FAILURE_H_
#define CHUNKKV_KERNELS_CUDA_FAILURE_H_

#include <cstdint>

#include "kernels/simt/simt.h"

namespace chunkkv::cuda {

enum class FailureKind : uint32_t { kNonFinite = 1, kNegative = 2, kBadPosition = 3 };

// Order of a batch's stages: scoring, by the task's place; then copying.
inline constexpr int32_t kCopyOrder = (1 << 14) - 1;

inline constexpr int kKindBits = 3;
inline constexpr int kLayerBits = 13;
inline constexpr int kIndexBits = 34;
inline constexpr int64_t kMaxFailureIndex = (int64_t{1} << kIndexBits) - 1;

// Notes what went wrong in element `index` of what is `order`-th in the batch.
CHUNKKV_DEVICE void ReportFailure(uint64_t* failure, int32_t order, int64_t index, int32_t layer, FailureKind kind) {
  const auto bounded = static_cast<uint64_t>(index < kMaxFailureIndex ? index : kMaxFailureIndex);
  const uint64_t word = (static_cast<uint64_t>(order) << (kIndexBits + kLayerBits + kKindBits)) |
                        (bounded << (kLayerBits + kKindBits)) | (static_cast<uint64_t>(layer) << kKindBits) |
                        static_cast<uint64_t>(kind);
  simt::MinGlobal(failure, word);
}

inline FailureKind KindOfFailure(uint64_t word) { return static_cast<FailureKind>(word & ((1u << kKindBits) - 1)); }
inline int32_t LayerOfFailure(uint64_t word) {
  return static_cast<int32_t>((word >> kKindBits) & ((1u << kLayerBits) - 1));
}

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_FAILURE_H_
