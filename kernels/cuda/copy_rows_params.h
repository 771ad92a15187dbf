#ifndef CHUNKKV_KERNELS_CUDA_COPY_ROWS_PARAMS_H_
#define CHUNKKV_KERNELS_CUDA_COPY_ROWS_PARAMS_H_

#include <cstdint>

#include "kernels/cuda/failure.h"
#include "kernels/cuda/fast_divisor.h"
#include "kernels/cuda/rows.h"

namespace chunkkv::cuda {

// Row n of a dense tensor [count, head_count, head_size] and row positions[n] of a cache.
struct CopyRowsTask {
  Rows cache;
  std::byte* dense;
  const int32_t* positions;  // [count]
  int32_t count;
  int32_t token_count;  // rows of the cache
  int32_t unit_count;   // units of a row of all heads; 1 where rows are empty
  FastDivisor by_row;   // of units: row
  FastDivisor by_head;  // of units in a row: head
  int32_t item_tokens;  // rows that a block copies at once, at most kMostCopyItemRows
  bool is_empty;        // rows have no bytes: positions are only looked at
};

inline constexpr int kCopyTasksPerLaunch = 128;
inline constexpr int kMostCopyItemRows = 1024;

struct CopyRowsParams {
  int32_t task_count;
  FastDivisor by_task;  // of items: task. Each has as many as the largest; all together below 2^31
  uint64_t* failure;
  CopyRowsTask tasks[kCopyTasksPerLaunch];
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_COPY_ROWS_PARAMS_H_
