#ifndef CHUNKKV_KERNELS_CUDA_PLAIN_SCORE_KERNEL_H_
#define CHUNKKV_KERNELS_CUDA_PLAIN_SCORE_KERNEL_H_

#include "kernels/cuda/plain_logits.h"

namespace chunkkv::cuda {

// What ScoreKernel computes, a thread a token. One piece of all rows; a run is kThreads tokens.
struct PlainScoreKernel {
  using Params = ScoreParams;
  static constexpr int kThreads = PlainLogits::kThreads;
  static constexpr int kMinBlocksPerSm = 1;

  static size_t SharedBytes(const Params& params) { return PlainLogits::SharedBytes(params.head_size); }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    const uint32_t count = ItemCount(params);
    for (uint32_t index = simt::BlockIndex(); index < count; index += simt::BlockCount()) {
      const ScoreItem item = ItemAt(params, index);
      ScoreToken(params, item, int64_t{item.run} * params.run_tokens + simt::ThreadIndex());
    }
  }

 private:
  CHUNKKV_DEVICE static void ScoreToken(const Params& params, const ScoreItem& item, int64_t token) {
    const ScoreLayer& layer = params.layers[item.layer];
    const PlainLogits plain;
    Findings found;
    float score = 0;
    for (int32_t row = 0; row < RowCount(params); row += PlainLogits::kRows) {
      plain.Stage(params, layer, item.kv_head, row, layer.lse, found);
      if (token >= params.token_count) continue;
      float logits[PlainLogits::kRows];
      plain.Compute(params, layer, item.kv_head, token, logits, found);
      CHUNKKV_UNROLL for (int r = 0; r < PlainLogits::kRows; ++r) {
        if (token < plain.visible_end[r]) score += simt::Exp2(logits[r] - plain.lse[r]);
      }
    }
    Report(params, layer, token, found);
    if (token < params.past_length) {
      simt::Store(layer.partial_scores + item.kv_head * params.past_length + token, score);
    }
  }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_PLAIN_SCORE_KERNEL_H_
