// Logits without tensor cores: any dtype, any head size, any alignment of elements. For f32, and for what the tensor
// cores' tiles do not take.
#ifndef CHUNKKV_KERNELS_CUDA_PLAIN_LOGITS_H_
#define CHUNKKV_KERNELS_CUDA_PLAIN_LOGITS_H_

#include "kernels/cuda/elements.h"
#include "kernels/cuda/score_params.h"

namespace chunkkv::cuda {

// Rows of one KV head against the tokens of a block's threads, kRows at a time; their queries lie in shared memory.
struct PlainLogits {
  static constexpr int kRows = 8;
  static constexpr int kThreads = kPlainTileTokens;

  static constexpr CHUNKKV_HOST_DEVICE size_t SharedBytes(int head_size) {
    return kRows * (static_cast<size_t>(head_size) * sizeof(float) + sizeof(float) + sizeof(int64_t));
  }

  CHUNKKV_DEVICE PlainLogits()
      : visible_end(reinterpret_cast<int64_t*>(simt::SharedMemory())),
        lse(reinterpret_cast<float*>(visible_end + kRows)),
        queries(lse + kRows) {}

  int64_t* visible_end;  // [kRows]; 0: no such row
  float* lse;            // [kRows], where they are known
  float* queries;        // [kRows, D]

  // By the whole block. `lse_of_queries` null: there are none yet.
  CHUNKKV_DEVICE void Stage(const ScoreParams& params, const ScoreLayer& layer, int32_t kv_head, int32_t first_row,
                            const float* lse_of_queries, Findings& found) const {
    simt::SyncBlock();
    for (int at = simt::ThreadIndex(); at < kRows * params.head_size; at += kThreads) {
      const int32_t row = first_row + at / params.head_size;
      queries[at] = 0;
      if (row >= RowCount(params)) continue;
      const int64_t element = QueryOf(params, kv_head, row) * params.head_size + at % params.head_size;
      queries[at] = LoadFloat(layer.queries, static_cast<DType>(params.query_dtype), element);
      found.non_finite = found.non_finite || !(queries[at] * 0.0f == 0.0f);
    }
    if (simt::ThreadIndex() < kRows) {
      const int32_t row = first_row + simt::ThreadIndex();
      const bool is_row = row < RowCount(params);
      visible_end[simt::ThreadIndex()] = is_row ? VisibleEnd(params, row) : 0;
      if (is_row && lse_of_queries != nullptr) {
        const float value = simt::Load(lse_of_queries + QueryOf(params, kv_head, row)) * params.lse_factor;
        lse[simt::ThreadIndex()] = value;
        found.non_finite = found.non_finite || !(value * 0.0f == 0.0f);
      }
    }
    simt::SyncBlock();
  }

  // logits[r] of `token` and staged row r, where the row sees the token; else 0.
  CHUNKKV_DEVICE void Compute(const ScoreParams& params, const ScoreLayer& layer, int32_t kv_head, int64_t token,
                              float (&logits)[kRows], Findings& found) const {
    CHUNKKV_UNROLL for (int r = 0; r < kRows; ++r) logits[r] = 0;
    const std::byte* row = RowAddress(layer.keys, token);
    if (row == nullptr) {
      found.bad_block = true;
      return;
    }
    row += kv_head * layer.keys.head_stride_bytes;
    const float scale = KeyScale(layer, kv_head, token, found);
    for (int dim = 0; dim < params.head_size; ++dim) {
      const float key = scale * LoadKey(row, static_cast<DType>(params.key_dtype), dim);
      CHUNKKV_UNROLL for (int r = 0; r < kRows; ++r) logits[r] += key * queries[r * params.head_size + dim];
    }
    float check = 0;
    CHUNKKV_UNROLL for (int r = 0; r < kRows; ++r) {
      logits[r] = token < visible_end[r] ? Logit(params, logits[r], check) : 0;
    }
    found.non_finite = found.non_finite || !(check == 0);
  }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_PLAIN_LOGITS_H_
