// The inner loops of scoring by a window of queries: logits of one KV head's keys against all queries that share it.
//
// Queries lie in vector lanes, so that maxima and sums over keys never cross lanes. Keys come in blocks of kKeyBlock,
// converted to float once and met by every query. Vector width and instruction set are chosen at run time.
#ifndef CHUNKKV_KERNELS_CPU_WINDOW_KERNELS_H_
#define CHUNKKV_KERNELS_CPU_WINDOW_KERNELS_H_

#include <cstddef>
#include <cstdint>

#include "chunkkv/kernels/tensor_view.h"

namespace chunkkv::cpu {

inline constexpr int64_t kKeyBlock = 48;

// Floats in a vector of the chosen instruction set; rows of queries are padded to a multiple of it.
int64_t FloatLanes();

// Queries of one KV head, or a run of them: `row_count` rows, a multiple of FloatLanes().
struct QueryRows {
  const float* packed = nullptr;        // [row_count / lanes, head_size, lanes]; padding rows are 0
  const float* window_index = nullptr;  // [row_count]: which query of the window; key P + n is seen from index n on
  int64_t row_count = 0;
  int64_t head_size = 0;
  float product_scale = 1;  // at least 1: logit = product_scale * product, which overflows only where the logit does
  float softcap = 0;        // 0: none
};

// Tokens [begin, end) of one KV head; begin is a multiple of kKeyBlock.
struct KeySlice {
  RowsView rows;    // from this head on: data is where its token 0, or block 0, begins; all tokens have rows
  RowsView scales;  // of fp8 keys, likewise; data null: none
  int64_t begin = 0;
  int64_t end = 0;
  int64_t past_length = 0;
};

// Softmax of a slice relative to maxima of its blocks, to be put together when all slices are known.
struct SlicePartials {
  float* exps = nullptr;       // [blocks, kKeyBlock, row_count] (order private to these loops): exp(logit - block max)
  float* block_max = nullptr;  // [blocks, row_count]
  float* max = nullptr;        // [row_count], over the slice
  float* sum = nullptr;        // [row_count], of exp(logit - max)
};

// Fills `partials`. `key_floats` [kKeyBlock, head_size] is scratch. Returns false where a logit is not finite.
bool ComputePartials(const QueryRows& queries, const KeySlice& keys, float* key_floats, const SlicePartials& partials);

// token_scores[j] += sum over rows of exps * exp(block max - max) * weight, for the slice's tokens j < past_length.
// `max` and `weight` [row_count]: of the whole softmax, weight = 1 / sum of exps, 0 for padding rows.
void AddWeightedExps(int64_t row_count, const KeySlice& keys, const SlicePartials& partials, const float* max,
                     const float* weight, float* token_scores);

// token_scores[j] += sum over rows of exp(logit - lse), for the slice's tokens j < past_length. `lse` [row_count],
// the largest float for padding rows. Returns false where a logit is not finite.
bool AddProbabilities(const QueryRows& queries, const KeySlice& keys, const float* lse, float* key_floats,
                      float* token_scores);

}  // namespace chunkkv::cpu

#endif  // CHUNKKV_KERNELS_CPU_WINDOW_KERNELS_H_
