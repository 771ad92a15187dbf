#ifndef CHUNKKV_KERNELS_CUDA_FAST_DIVISOR_H_
#define CHUNKKV_KERNELS_CUDA_FAST_DIVISOR_H_

#include <cstdint>

#include "kernels/simt/simt.h"

namespace chunkkv::cuda {

// Divides numbers below 2^31 by a number that only the host knows, with one multiplication.
// Source: Granlund and Montgomery, "Division by Invariant Integers using Multiplication", 1994.
struct FastDivisor {
  uint32_t divisor;
  uint32_t multiplier;  // ceil(2^shift / divisor)
  uint32_t shift;       // 31 + ceil(log2(divisor))

  CHUNKKV_DEVICE uint32_t Divide(uint32_t n) const {
    return static_cast<uint32_t>((uint64_t{n} * multiplier) >> shift);
  }
};

// `divisor` in [1, 2^31).
inline FastDivisor MakeFastDivisor(uint32_t divisor) {
  FastDivisor fast{divisor, 0, 31};
  while ((uint64_t{1} << (fast.shift - 31)) < divisor) ++fast.shift;
  fast.multiplier = static_cast<uint32_t>(((uint64_t{1} << fast.shift) + divisor - 1) / divisor);
  return fast;
}

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_FAST_DIVISOR_H_
