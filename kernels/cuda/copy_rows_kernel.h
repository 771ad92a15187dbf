#ifndef CHUNKKV_KERNELS_CUDA_COPY_ROWS_KERNEL_H_
#define CHUNKKV_KERNELS_CUDA_COPY_ROWS_KERNEL_H_

#include "kernels/cuda/copy_rows_params.h"

namespace chunkkv::cuda {

// Copies rows between a cache and a dense tensor, one Unit a thread at a time, several in flight. A unit is the largest
// word to which every address and stride of the task is aligned.
template <typename Unit>
struct CopyRows {
  static constexpr int kThreads = 256;
  static constexpr int kInFlight = 8;

  // `to_dense`: gather, else scatter.
  template <bool kToDense>
  CHUNKKV_DEVICE static void Run(const CopyRowsParams& params) {
    const int64_t items = int64_t{params.task_count} * params.most_items;
    for (int64_t item = simt::BlockIndex(); item < items; item += simt::BlockCount()) {
      const CopyRowsTask& task = params.tasks[item / params.most_items];
      const int64_t first = item % params.most_items * task.item_tokens;
      if (first >= task.count) continue;
      const int64_t count = task.count - first < task.item_tokens ? task.count - first : task.item_tokens;
      CopyItem<kToDense>(params, task, first, static_cast<uint32_t>(count * task.unit_count));
    }
  }

 private:
  template <bool kToDense>
  CHUNKKV_DEVICE static void CopyItem(const CopyRowsParams& params, const CopyRowsTask& task, int64_t first,
                                      uint32_t units) {
    Unit* dense = reinterpret_cast<Unit*>(task.dense) + first * task.unit_count;
    for (uint32_t at = simt::ThreadIndex(); at < units; at += kThreads * kInFlight) {
      Unit values[kInFlight];
      Unit* in_cache[kInFlight];
      CHUNKKV_UNROLL for (int i = 0; i < kInFlight; ++i) {
        const uint32_t unit = at + i * kThreads;
        in_cache[i] = unit < units ? InCache(params, task, first, unit) : nullptr;
        if (in_cache[i] != nullptr) values[i] = simt::Stream(kToDense ? in_cache[i] : dense + unit);
      }
      CHUNKKV_UNROLL for (int i = 0; i < kInFlight; ++i) {
        if (in_cache[i] != nullptr) simt::Store(kToDense ? dense + (at + i * kThreads) : in_cache[i], values[i]);
      }
    }
  }

  // Where a unit of the item lies in the cache; null where there is nothing to copy, or its position or block id is
  // outside the cache.
  CHUNKKV_DEVICE static Unit* InCache(const CopyRowsParams& params, const CopyRowsTask& task, int64_t first,
                                      uint32_t unit) {
    const uint32_t row = task.by_row.Divide(unit);
    const uint32_t in_row = unit - row * task.by_row.divisor;
    const uint32_t head = task.by_head.Divide(in_row);
    const int32_t token = simt::Load(task.positions + first + row);
    std::byte* address = token >= 0 && token < task.token_count ? RowAddress(task.cache, token) : nullptr;
    if (address == nullptr) {
      ReportFailure(params.failure, kCopyOrder, 0, 0, FailureKind::kBadPosition);
    }
    if (address == nullptr || task.is_empty) return nullptr;
    return reinterpret_cast<Unit*>(address + head * task.cache.head_stride_bytes) +
           (in_row - head * task.by_head.divisor);
  }
};

template <typename Unit>
struct GatherKernel {
  using Params = CopyRowsParams;
  static constexpr int kThreads = CopyRows<Unit>::kThreads;
  static constexpr int kMinBlocksPerSm = 4;
  static size_t SharedBytes(const Params&) { return 0; }
  CHUNKKV_DEVICE static void Run(const Params& params) { CopyRows<Unit>::template Run<true>(params); }
};

template <typename Unit>
struct ScatterKernel {
  using Params = CopyRowsParams;
  static constexpr int kThreads = CopyRows<Unit>::kThreads;
  static constexpr int kMinBlocksPerSm = 3;
  static size_t SharedBytes(const Params&) { return 0; }
  CHUNKKV_DEVICE static void Run(const Params& params) { CopyRows<Unit>::template Run<false>(params); }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_COPY_ROWS_KERNEL_H_
