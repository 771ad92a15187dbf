// What the kernels that score by queries share: layers of one shape, in one launch.
//
// The rows of a KV head are the queries that read it, of all its query heads and the whole window:
// row r in [0, heads_per_kv * window_length) is query r / heads_per_kv of head kv_head * heads_per_kv + r %
// heads_per_kv. A work item is one KV head of one layer, a run of its tokens, and a piece of its rows.
#ifndef CHUNKKV_KERNELS_CUDA_SCORE_PARAMS_H_
#define CHUNKKV_KERNELS_CUDA_SCORE_PARAMS_H_

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/failure.h"
#include "kernels/cuda/parts.h"
#include "kernels/cuda/rows.h"
#include "kernels/simt/simt.h"

namespace chunkkv::cuda {

// A softmax's denominator over some tokens: sum of 2^(logit - max), logits in powers of two.
struct alignas(8) MaxSum {
  float max;
  float sum;
};

inline constexpr float kLog2E = 1.4426950408889634f;

// Sizes of the kernels on tensor cores, by steps of 32 dimensions: larger heads leave registers for fewer rows.
inline constexpr int FragmentsOf(int steps) { return steps <= 4 ? 2 : 1; }
inline constexpr int ScoreTileTokens(int steps) { return 4 * 16 * FragmentsOf(steps); }
inline constexpr int DenominatorPieceRows(int steps) { return 4 * 16 * FragmentsOf(steps); }
inline constexpr int kMaxScorePieceRows = 128;
inline constexpr int kScoreRowsAtOnce = 16;  // of queries
inline constexpr int kPlainTileTokens = 128;

inline constexpr float kLowestFloat = -3.402823466e38f;

CHUNKKV_DEVICE MaxSum Merge(const MaxSum& a, const MaxSum& b) {
  const float max = simt::Max(a.max, b.max);
  return {max, a.sum * simt::Exp2(a.max - max) + b.sum * simt::Exp2(b.max - max)};
}

// Over the four lanes of a quad, by all lanes of the warp.
CHUNKKV_DEVICE MaxSum MergeOverQuad(MaxSum mine) {
  CHUNKKV_UNROLL for (int mask = 1; mask < 4; mask *= 2) {
    mine = Merge(mine, {simt::ShuffleXor(mine.max, mask), simt::ShuffleXor(mine.sum, mask)});
  }
  return mine;
}

struct ScoreLayer {
  Rows keys;
  Rows key_scales;           // f32, of fp8 keys; data null: none
  const std::byte* queries;  // [w', H, D]
  const float* lse;          // [w', H], times lse_factor a power of two
  MaxSum* denominators;      // [Hkv, heads_per_kv * w', runs]: what the first of two passes finds
  float* part_sums;          // [Hkv, parts of the past, heads_per_kv * w'], powers of two; null: no parts
  float* partial_scores;     // [Hkv, pieces, P]
  int32_t layer;
  int32_t order;  // of its task in the batch
};

inline constexpr int kScoreLayersPerLaunch = 64;

struct ScoreParams {
  int64_t token_count;
  int64_t past_length;
  int32_t window_length;  // w' = min(w, L)
  int32_t head_size;
  int32_t kv_head_count;
  int32_t heads_per_kv;
  int32_t piece_rows;
  int32_t piece_count;
  int32_t run_tokens;
  int32_t run_count;
  Parts parts;  // of PartSumKernel and PartScoreKernel, whose runs are `run_parts` parts
  int32_t run_parts;
  float logit_factor;   // product -> power of two; product -> argument of tanh under a soft cap
  float softcap_log2e;  // soft cap as a power of two; 0: none
  float lse_factor;
  int32_t key_dtype;  // DType, for kernels that convert each element
  int32_t query_dtype;
  int32_t layer_count;
  uint64_t* failure;
  ScoreLayer layers[kScoreLayersPerLaunch];
};

// What a thread found wrong with a layer's inputs.
struct Findings {
  bool bad_block = false;
  bool non_finite = false;
};

// By all lanes of the warp. `index` orders what is found in one layer.
CHUNKKV_DEVICE void Report(const ScoreParams& params, const ScoreLayer& layer, int64_t index, const Findings& found) {
  uint64_t word = kNoFailure;
  if (found.non_finite) word = FailureWord(layer.order, index, layer.layer, FailureKind::kNonFinite);
  if (found.bad_block) word = FailureWord(layer.order, index, layer.layer, FailureKind::kBadPosition);
  ReportLeast(params.failure, word);
}

// What the elements of a token's key are to be multiplied by; 1 where there are no scales, or a bad block id.
CHUNKKV_DEVICE float KeyScale(const ScoreLayer& layer, int32_t kv_head, int64_t token, Findings& found) {
  if (layer.key_scales.data == nullptr) return 1;
  const std::byte* scale = RowAddress(layer.key_scales, token);
  if (scale == nullptr) {
    found.bad_block = true;
    return 1;
  }
  return simt::Load(reinterpret_cast<const float*>(scale + kv_head * layer.key_scales.head_stride_bytes));
}

struct ScoreItem {
  int32_t layer;
  int32_t kv_head;
  int32_t run;
  int32_t piece;
};

// Of a launch, below 2^31.
CHUNKKV_DEVICE uint32_t ItemCount(const ScoreParams& params) {
  return static_cast<uint32_t>(params.layer_count * params.kv_head_count * params.run_count * params.piece_count);
}

// Pieces of one run follow each other, so that its keys are still in the cache.
CHUNKKV_DEVICE ScoreItem ItemAt(const ScoreParams& params, uint32_t index) {
  const auto divide = [&index](int32_t divisor) {
    const uint32_t quotient = index / static_cast<uint32_t>(divisor);
    const auto remainder = static_cast<int32_t>(index - quotient * static_cast<uint32_t>(divisor));
    index = quotient;
    return remainder;
  };
  ScoreItem item;
  item.piece = divide(params.piece_count);
  item.run = divide(params.run_count);
  item.kv_head = divide(params.kv_head_count);
  item.layer = static_cast<int32_t>(index);
  return item;
}

CHUNKKV_DEVICE int32_t RowCount(const ScoreParams& params) { return params.heads_per_kv * params.window_length; }

// Index of a row's query in [w', H].
CHUNKKV_DEVICE int64_t QueryOf(const ScoreParams& params, int32_t kv_head, int32_t row) {
  const int32_t head = kv_head * params.heads_per_kv + row % params.heads_per_kv;
  return int64_t{row / params.heads_per_kv} * params.kv_head_count * params.heads_per_kv + head;
}

// Keys that query `row` of the window sees: [0, VisibleEnd).
CHUNKKV_DEVICE int64_t VisibleEnd(const ScoreParams& params, int32_t row) {
  return params.token_count - params.window_length + row / params.heads_per_kv + 1;
}

// tanh within two units in the last place, without a branch: lanes differ. Source: Cephes, tanhf.
CHUNKKV_DEVICE float Tanh(float x) {
  const float magnitude = x < 0 ? -x : x;
  const float z = x * x;
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const float near_zero = p * z * x + x;
  const float e = simt::Exp2(magnitude * 2.885390082f);  // e^(2|x|); Inf gives 1
  const float far = 1.0f - 2.0f * simt::Reciprocal(e + 1.0f);
  return magnitude < 0.625f ? near_zero : x < 0 ? -far : far;
}

// A logit as a power of two. `check` stays 0 while every logit is finite and is NaN ever after.
template <bool kHasCap>
CHUNKKV_DEVICE float Logit(const ScoreParams& params, float product, float& check) {
  const float scaled = product * params.logit_factor;
  check = scaled * 0.0f + check;
  return kHasCap ? params.softcap_log2e * Tanh(scaled) : scaled;
}

CHUNKKV_DEVICE float Logit(const ScoreParams& params, float product, float& check) {
  return params.softcap_log2e > 0 ? Logit<true>(params, product, check) : Logit<false>(params, product, check);
}

// Logit - lse, of a finite lse.
template <bool kHasCap>
CHUNKKV_DEVICE float LogitMinus(const ScoreParams& params, float product, float lse, float& check) {
  if constexpr (kHasCap) return Logit<true>(params, product, check) - lse;
  const float exponent = product * params.logit_factor - lse;  // one instruction
  check = exponent * 0.0f + check;
  return exponent;
}

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_SCORE_PARAMS_H_
