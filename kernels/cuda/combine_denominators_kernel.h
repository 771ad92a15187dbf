#ifndef CHUNKKV_KERNELS_CUDA_COMBINE_DENOMINATORS_KERNEL_H_
#define CHUNKKV_KERNELS_CUDA_COMBINE_DENOMINATORS_KERNEL_H_

#include "kernels/cuda/score_params.h"

namespace chunkkv::cuda {

struct CombineDenominatorsLayer {
  const MaxSum* denominators;  // [Hkv, heads_per_kv * w', runs]
  const float* sink_logits;    // [H], natural; null: none
  float* lse;                  // [w', H], powers of two
  int32_t layer;
  int32_t order;
};

struct CombineDenominatorsParams {
  int32_t window_length;
  int32_t kv_head_count;
  int32_t heads_per_kv;
  int32_t run_count;
  int32_t layer_count;
  uint64_t* failure;
  CombineDenominatorsLayer layers[kScoreLayersPerLaunch];
};

// lse = log2 of the denominator over all runs and the sink: a thread a row.
struct CombineDenominatorsKernel {
  using Params = CombineDenominatorsParams;
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocksPerSm = 1;

  static size_t SharedBytes(const Params&) { return 0; }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    const int32_t rows_per_head = params.heads_per_kv * params.window_length;
    const int64_t rows = int64_t{params.kv_head_count} * rows_per_head;
    const int64_t stride = int64_t{simt::BlockCount()} * kThreads;
    for (int64_t at = int64_t{simt::BlockIndex()} * kThreads + simt::ThreadIndex(); at < rows * params.layer_count;
         at += stride) {
      const CombineDenominatorsLayer& layer = params.layers[at / rows];
      const int64_t row = at % rows;
      const auto head = static_cast<int32_t>(row / rows_per_head * params.heads_per_kv + row % params.heads_per_kv);
      MaxSum all = {kLowestFloat, 0};
      if (layer.sink_logits != nullptr) all = {simt::Load(layer.sink_logits + head) * kLog2E, 1};
      for (int32_t run = 0; run < params.run_count; ++run) {
        all = Merge(all, simt::Load(layer.denominators + row * params.run_count + run));
      }
      const float lse = all.max + simt::Log2(all.sum);
      if (!(lse * 0.0f == 0.0f)) ReportFailure(params.failure, layer.order, 0, layer.layer, FailureKind::kNonFinite);
      const int64_t query = row % rows_per_head / params.heads_per_kv;
      simt::Store(layer.lse + query * params.kv_head_count * params.heads_per_kv + head, lse);
    }
  }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_COMBINE_DENOMINATORS_KERNEL_H_
