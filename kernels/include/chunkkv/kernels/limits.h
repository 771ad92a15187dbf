// Caps on what a Plan accepts. They bound work and keep every product of dimensions inside 64 bits; services set
// their own, lower ones on top.
#ifndef CHUNKKV_KERNELS_LIMITS_H_
#define CHUNKKV_KERNELS_LIMITS_H_

#include <cstdint>

namespace chunkkv {

// Positions are int32, and kernels may step past the last one.
inline constexpr int64_t kMaxTokenCount = INT32_MAX - 8192;
inline constexpr int32_t kMaxLayerCount = 8192;
inline constexpr int32_t kMaxHeadCount = 1 << 14;
inline constexpr int32_t kMaxHeadSize = 1 << 14;
inline constexpr int32_t kMaxChunkLength = 4096;
inline constexpr int32_t kMaxWindowLength = 4096;
inline constexpr int32_t kMaxPool = 4095;
inline constexpr int32_t kMaxBudgetMultiple = 1 << 20;

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_LIMITS_H_
