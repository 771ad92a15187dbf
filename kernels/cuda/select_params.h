#ifndef CHUNKKV_KERNELS_CUDA_SELECT_PARAMS_H_
#define CHUNKKV_KERNELS_CUDA_SELECT_PARAMS_H_

#include <cstdint>

#include "kernels/cuda/fast_divisor.h"
#include "kernels/cuda/spans.h"

namespace chunkkv::cuda {

struct SelectGroup {
  const float* only_list;     // token scores [P], where list_count is 1
  const float* const* lists;  // else [list_count] of [P]
  uint32_t* keys;             // [spans.count]: spans in the order of visits have descending keys, ties ascending
  int32_t* positions;         // [budget]
  double* retained_mass;      // [list_count] or null
  DeviceSpans spans;
  int32_t room;  // of the candidates, tokens that are kept
  int32_t budget;
  int32_t list_count;
  bool warp_per_span;  // spans are long; else a thread a span
};

// [P]
CHUNKKV_DEVICE const float* ListOf(const SelectGroup& group, int32_t list) {
  return group.list_count == 1 ? group.only_list : simt::Load(group.lists + list);
}

inline constexpr int kSelectGroupsPerLaunch = 64;

struct SelectParams {
  int32_t token_count;
  int32_t past_length;
  int32_t pool;
  int32_t chunk_reduce;  // ChunkReduce
  int32_t most_spans;    // of any group
  int32_t most_lists;    // of any group
  int32_t key_blocks;    // of any group, that find its keys
  FastDivisor by_span;   // of candidates of a grid: span
  int32_t group_count;
  SelectGroup groups[kSelectGroupsPerLaunch];
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_SELECT_PARAMS_H_
