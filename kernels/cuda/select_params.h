#ifndef CHUNKKV_KERNELS_CUDA_SELECT_PARAMS_H_
#define CHUNKKV_KERNELS_CUDA_SELECT_PARAMS_H_

#include <cstdint>

#include "kernels/cuda/spans.h"

namespace chunkkv::cuda {

struct SelectGroup {
  const float* const* token_scores;  // [list_count] of [P]
  uint32_t* keys;                    // [spans.count]: spans in the order of visits have descending keys, ties ascending
  int32_t* positions;                // [budget]
  double* retained_mass;             // [list_count] or null
  DeviceSpans spans;
  int32_t room;  // of the candidates, tokens that are kept
  int32_t budget;
  int32_t list_count;
};

inline constexpr int kSelectGroupsPerLaunch = 64;

struct SelectParams {
  int32_t token_count;
  int32_t past_length;
  int32_t pool;
  int32_t chunk_reduce;  // ChunkReduce
  int32_t most_spans;    // of any group
  int32_t most_lists;    // of any group
  bool warp_per_span;    // spans are long; else a thread a span
  int32_t group_count;
  SelectGroup groups[kSelectGroupsPerLaunch];
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_SELECT_PARAMS_H_
