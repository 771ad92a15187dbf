#ifndef CHUNKKV_KERNELS_CUDA_BLOCK_SCAN_H_
#define CHUNKKV_KERNELS_CUDA_BLOCK_SCAN_H_

#include "kernels/simt/simt.h"

namespace chunkkv::cuda {

// Sum of `value` over this lane and those before it. By all lanes of the warp.
template <typename T>
CHUNKKV_DEVICE T InclusiveScanOfWarp(T value) {
  CHUNKKV_UNROLL for (int delta = 1; delta < simt::kWarpSize; delta *= 2) {
    const T before = simt::ShuffleUp(value, delta);
    if (simt::Lane() >= delta) value += before;
  }
  return value;
}

// Sum of integers `of_warp` over the warps before this one. By all threads of the block, at most 1024; the last lane's
// `of_warp` is taken. `of_warps` is shared memory for 32 values, free again when the sum has returned.
template <typename T>
CHUNKKV_DEVICE T SumOfWarpsBefore(T of_warp, T* of_warps) {
  if (simt::Lane() == simt::kWarpSize - 1) of_warps[simt::Warp()] = of_warp;
  simt::SyncBlock();
  T sum = simt::Lane() < simt::Warp() ? of_warps[simt::Lane()] : 0;
  CHUNKKV_UNROLL for (int mask = 1; mask < simt::kWarpSize; mask *= 2) sum += simt::ShuffleXor(sum, mask);
  simt::SyncBlock();
  return sum;
}

// Sum of an integer `value` over the threads before this one, in the same way.
template <typename T>
CHUNKKV_DEVICE T ExclusiveScan(T value, T* of_warps) {
  const T inclusive = InclusiveScanOfWarp(value);
  return SumOfWarpsBefore(inclusive, of_warps) + inclusive - value;
}

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_BLOCK_SCAN_H_
