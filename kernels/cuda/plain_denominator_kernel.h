#ifndef CHUNKKV_KERNELS_CUDA_PLAIN_DENOMINATOR_KERNEL_H_
#define CHUNKKV_KERNELS_CUDA_PLAIN_DENOMINATOR_KERNEL_H_

#include "kernels/cuda/plain_logits.h"

namespace chunkkv::cuda {

// What DenominatorKernel computes, a thread every kThreads-th token of the run. One piece of all rows.
struct PlainDenominatorKernel {
  using Params = ScoreParams;
  static constexpr int kThreads = PlainLogits::kThreads;
  static constexpr int kMinBlocksPerSm = 1;
  static constexpr int kWarps = kThreads / simt::kWarpSize;
  static constexpr int kRows = PlainLogits::kRows;

  static size_t SharedBytes(const Params& params) { return OfLogits(params) + kRows * kWarps * sizeof(MaxSum); }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    const uint32_t count = ItemCount(params);
    for (uint32_t index = simt::BlockIndex(); index < count; index += simt::BlockCount()) {
      const ScoreItem item = ItemAt(params, index);
      for (int32_t row = 0; row < RowCount(params); row += kRows) FindDenominators(params, item, row);
    }
  }

 private:
  // Rounded up to the alignment of what follows.
  CHUNKKV_HOST_DEVICE static size_t OfLogits(const Params& params) {
    return (PlainLogits::SharedBytes(params.head_size) + 7) / 8 * 8;
  }

  CHUNKKV_DEVICE static void FindDenominators(const Params& params, const ScoreItem& item, int32_t first_row) {
    const ScoreLayer& layer = params.layers[item.layer];
    const PlainLogits plain;
    Findings found;
    plain.Stage(params, layer, item.kv_head, first_row, nullptr, found);
    MaxSum sums[kRows];
    CHUNKKV_UNROLL for (int r = 0; r < kRows; ++r) sums[r] = {kLowestFloat, 0};
    const int64_t begin = int64_t{item.run} * params.run_tokens;
    const int64_t end = begin + params.run_tokens < params.token_count ? begin + params.run_tokens : params.token_count;
    for (int64_t token = begin + simt::ThreadIndex(); token < end; token += kThreads) {
      float logits[kRows];
      plain.Compute(params, layer, item.kv_head, token, logits, found);
      CHUNKKV_UNROLL for (int r = 0; r < kRows; ++r) {
        if (token < plain.visible_end[r]) sums[r] = Merge(sums[r], {logits[r], 1});
      }
    }
    Report(params, layer, begin, found);
    auto* of_warps = reinterpret_cast<MaxSum*>(simt::SharedMemory() + OfLogits(params));
    CHUNKKV_UNROLL for (int r = 0; r < kRows; ++r) {
      for (int mask = 1; mask < simt::kWarpSize; mask *= 2) {
        const MaxSum other = {simt::ShuffleXor(sums[r].max, mask), simt::ShuffleXor(sums[r].sum, mask)};
        sums[r] = Merge(sums[r], other);
      }
      if (simt::Lane() == 0) of_warps[r * kWarps + simt::Warp()] = sums[r];
    }
    simt::SyncBlock();
    const int32_t row = first_row + simt::ThreadIndex();
    if (simt::ThreadIndex() >= kRows || row >= RowCount(params)) return;
    MaxSum all = of_warps[simt::ThreadIndex() * kWarps];
    for (int warp = 1; warp < kWarps; ++warp) all = Merge(all, of_warps[simt::ThreadIndex() * kWarps + warp]);
    simt::Store(layer.denominators + (int64_t{item.kv_head} * RowCount(params) + row) * params.run_count + item.run,
                all);
  }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_PLAIN_DENOMINATOR_KERNEL_H_
