#ifndef CHUNKKV_KERNELS_CUDA_MASS_KERNEL_H_
#define CHUNKKV_KERNELS_CUDA_MASS_KERNEL_H_

#include "kernels/cuda/select_params.h"

namespace chunkkv::cuda {

// retained_mass = kept part of a list's token scores over [0, P): a block a list, float64, always in the same order.
struct MassKernel {
  using Params = SelectParams;
  static constexpr int kThreads = 512;
  static constexpr int kMinBlocksPerSm = 1;
  static constexpr int kWarps = kThreads / simt::kWarpSize;
  static size_t SharedBytes(const Params&) { return 2 * kWarps * sizeof(double); }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    for (int64_t item = simt::BlockIndex(); item < int64_t{params.group_count} * params.most_lists;
         item += simt::BlockCount()) {
      const SelectGroup& group = params.groups[item / params.most_lists];
      const auto list = static_cast<int32_t>(item % params.most_lists);
      if (list < group.list_count && group.retained_mass != nullptr) FindMass(params, group, list);
    }
  }

 private:
  CHUNKKV_DEVICE static void FindMass(const Params& params, const SelectGroup& group, int32_t list) {
    const float* scores = ListOf(group, list);
    double all = 0;
    for (int32_t token = simt::ThreadIndex(); token < params.past_length; token += kThreads) {
      all += simt::Load(scores + token);
    }
    double kept = 0;
    for (int32_t n = simt::ThreadIndex(); n < group.budget; n += kThreads) {
      const int32_t token = simt::Load(group.positions + n);
      if (token < params.past_length) kept += simt::Load(scores + token);
    }
    auto* of_warps = reinterpret_cast<double*>(simt::SharedMemory());  // [2, kWarps]
    for (int mask = 1; mask < simt::kWarpSize; mask *= 2) {
      all += simt::ShuffleXor(all, mask);
      kept += simt::ShuffleXor(kept, mask);
    }
    if (simt::Lane() == 0) {
      of_warps[simt::Warp()] = all;
      of_warps[kWarps + simt::Warp()] = kept;
    }
    simt::SyncBlock();
    if (simt::ThreadIndex() == 0) {
      for (int warp = 1; warp < kWarps; ++warp) {
        all += of_warps[warp];
        kept += of_warps[kWarps + warp];
      }
      simt::Store(group.retained_mass + list, all == 0 ? 1.0 : kept / all);
    }
    simt::SyncBlock();
  }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_MASS_KERNEL_H_
