#ifndef CHUNKKV_KERNELS_CUDA_BLOCK_SCAN_H_
#define CHUNKKV_KERNELS_CUDA_BLOCK_SCAN_H_

#include "kernels/simt/simt.h"

namespace chunkkv::cuda {

// Sum of `value` over the threads before this one. By all kThreads threads of the block; `of_warps` is shared memory
// for 32 values, free again when the scan has returned.
template <int kThreads, typename T>
CHUNKKV_DEVICE T ExclusiveScan(T value, T* of_warps) {
  static_assert(kThreads <= simt::kWarpSize * simt::kWarpSize);
  T inclusive = value;
  CHUNKKV_UNROLL for (int delta = 1; delta < simt::kWarpSize; delta *= 2) {
    const T before = simt::ShuffleUp(inclusive, delta);
    if (simt::Lane() >= delta) inclusive += before;
  }
  if (simt::Lane() == simt::kWarpSize - 1) of_warps[simt::Warp()] = inclusive;
  simt::SyncBlock();
  T before_warp = 0;
  for (int warp = 0; warp < simt::Warp(); ++warp) before_warp += of_warps[warp];
  simt::SyncBlock();
  return before_warp + inclusive - value;
}

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_BLOCK_SCAN_H_
