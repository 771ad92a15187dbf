#ifndef CHUNKKV_KERNELS_CUDA_ADD_PARTIALS_KERNEL_H_
#define CHUNKKV_KERNELS_CUDA_ADD_PARTIALS_KERNEL_H_

#include "kernels/cuda/failure.h"

namespace chunkkv::cuda {

struct AddPartialsLayer {
  const float* partial_scores;  // [partials, P]
  float* token_scores;          // [P]
  int32_t partial_count;
  int32_t layer;
  int32_t order;
};

inline constexpr int kAddPartialsLayersPerLaunch = 64;

struct AddPartialsParams {
  int64_t past_length;
  int32_t layer_count;
  uint64_t* failure;
  AddPartialsLayer layers[kAddPartialsLayersPerLaunch];
};

// token_scores[j] = sum of the layer's partial scores, in order: a thread a token. Reports sums that are not finite.
struct AddPartialsKernel {
  using Params = AddPartialsParams;
  static constexpr int kThreads = 256;
  static constexpr int kMinBlocksPerSm = 1;

  static size_t SharedBytes(const Params&) { return 0; }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    // Below 2^29 items: P is below 2^31.
    const auto blocks = static_cast<uint32_t>((params.past_length + kThreads - 1) / kThreads);
    for (uint32_t item = simt::BlockIndex(); item < blocks * params.layer_count; item += simt::BlockCount()) {
      const AddPartialsLayer& layer = params.layers[item / blocks];
      const int64_t token = int64_t{item % blocks} * kThreads + simt::ThreadIndex();
      ReportLeast(params.failure, token < params.past_length ? AddToken(params, layer, token) : kNoFailure);
    }
  }

 private:
  // Returns the token's failure.
  CHUNKKV_DEVICE static uint64_t AddToken(const Params& params, const AddPartialsLayer& layer, int64_t token) {
    float sum = 0;
    float lost = 0;
    for (int32_t partial = 0; partial < layer.partial_count; ++partial) {
      const float exact = simt::Load(layer.partial_scores + partial * params.past_length + token) - lost;
      const float next = sum + exact;
      lost = next - sum - exact;
      sum = next;
    }
    simt::Store(layer.token_scores + token, sum);
    if (sum * 0.0f == 0.0f) return kNoFailure;
    return FailureWord(layer.order, token, layer.layer, FailureKind::kNonFinite);
  }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_ADD_PARTIALS_KERNEL_H_
