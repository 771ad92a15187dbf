#ifndef CHUNKKV_KERNELS_CUDA_PART_SCORE_KERNEL_H_
#define CHUNKKV_KERNELS_CUDA_PART_SCORE_KERNEL_H_

#include "kernels/cuda/score_params.h"

namespace chunkkv::cuda {

// partial_scores[kv_head, j] = mean over the tokens of j's part of sum over rows of 2^(logit - lse), from the part sums
// that PartSumKernel left: a warp a part, whose rows follow each other. params.run_parts parts a block.
struct PartScoreKernel {
  using Params = ScoreParams;
  static constexpr int kWarps = 8;
  static constexpr int kThreads = kWarps * simt::kWarpSize;
  static constexpr int kMinBlocksPerSm = 1;
  static constexpr int kMostRows = 16384;

  static size_t SharedBytes(const Params& params) {
    return static_cast<size_t>(params.heads_per_kv) * params.window_length * sizeof(float);
  }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    const uint32_t count = ItemCount(params);
    for (uint32_t index = simt::BlockIndex(); index < count; index += simt::BlockCount()) {
      const ScoreItem item = ItemAt(params, index);
      const ScoreLayer& layer = params.layers[item.layer];
      auto* lse = reinterpret_cast<float*>(simt::SharedMemory());
      for (int row = simt::ThreadIndex(); row < RowCount(params); row += kThreads) {
        lse[row] = simt::Load(layer.lse + QueryOf(params, item.kv_head, row));
      }
      simt::SyncBlock();
      const int32_t begin = item.run * params.run_parts;
      const int32_t end =
          begin + params.run_parts < params.parts.past_count ? begin + params.run_parts : params.parts.past_count;
      for (int32_t part = begin + simt::Warp(); part < end; part += kWarps) ScorePart(params, item, lse, part);
      simt::SyncBlock();
    }
  }

 private:
  CHUNKKV_DEVICE static void ScorePart(const Params& params, const ScoreItem& item, const float* lse, int32_t part) {
    const ScoreLayer& layer = params.layers[item.layer];
    const int32_t begin = params.parts.Begin(part);
    const int32_t length = params.parts.Begin(part + 1) - begin;
    if (length == 0) return;
    const float* of_rows =
        layer.part_sums + (int64_t{item.kv_head} * params.parts.past_count + part) * RowCount(params);
    float sum = 0;
    for (int row = simt::Lane(); row < RowCount(params); row += simt::kWarpSize) {
      sum += simt::Exp2(simt::Load(of_rows + row) - lse[row]);
    }
    for (int mask = 1; mask < simt::kWarpSize; mask *= 2) sum += simt::ShuffleXor(sum, mask);
    if (simt::Lane() >= length) return;
    simt::Store(layer.partial_scores + int64_t{item.kv_head} * params.past_length + begin + simt::Lane(),
                sum / static_cast<float>(length));
  }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_PART_SCORE_KERNEL_H_
