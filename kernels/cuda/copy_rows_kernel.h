#ifndef CHUNKKV_KERNELS_CUDA_COPY_ROWS_KERNEL_H_
#define CHUNKKV_KERNELS_CUDA_COPY_ROWS_KERNEL_H_

#include "kernels/cuda/copy_rows_params.h"

namespace chunkkv::cuda {

// Copies rows between a cache and a dense tensor, one Unit a thread at a time, several in flight. A unit is the largest
// word to which every address and stride of the task is aligned. A block finds where its rows are, then copies them.
template <typename Unit>
struct CopyRows {
  static constexpr int kThreads = 256;
  static constexpr int kInFlight = 8;

  // `to_dense`: gather, else scatter.
  template <bool kToDense>
  CHUNKKV_DEVICE static void Run(const CopyRowsParams& params) {
    const auto items = static_cast<uint32_t>(params.task_count) * params.by_task.divisor;
    for (uint32_t item = simt::BlockIndex(); item < items; item += simt::BlockCount()) {
      const uint32_t of_task = params.by_task.Divide(item);
      const CopyRowsTask& task = params.tasks[of_task];
      const int64_t first = int64_t{item - of_task * params.by_task.divisor} * task.item_tokens;
      if (first >= task.count) continue;
      const int64_t left = task.count - first;
      const int32_t count = left < task.item_tokens ? static_cast<int32_t>(left) : task.item_tokens;
      ReportLeast(params.failure, FindRows(task, task.positions + first, count));
      simt::SyncBlock();
      CopyItem<kToDense>(task, reinterpret_cast<Unit*>(task.dense) + first * task.unit_count,
                         static_cast<uint32_t>(count) * static_cast<uint32_t>(task.unit_count));
      simt::SyncBlock();
    }
  }

 private:
  // Addresses in the cache of the item's rows, [kMostCopyItemRows]; null where there is nothing to copy.
  CHUNKKV_DEVICE static std::byte** RowsInCache() { return reinterpret_cast<std::byte**>(simt::SharedMemory()); }

  // Returns a failure where a position, or its block id, is outside the cache; its row is left out.
  CHUNKKV_DEVICE static uint64_t FindRows(const CopyRowsTask& task, const int32_t* positions, int32_t count) {
    uint64_t failure = kNoFailure;
    for (int32_t row = simt::ThreadIndex(); row < count; row += kThreads) {
      const int32_t token = simt::Load(positions + row);
      std::byte* address = token >= 0 && token < task.token_count ? RowAddress(task.cache, token) : nullptr;
      if (address == nullptr) failure = FailureWord(kCopyOrder, 0, 0, FailureKind::kBadPosition);
      RowsInCache()[row] = task.is_empty ? nullptr : address;
    }
    return failure;
  }

  template <bool kToDense>
  CHUNKKV_DEVICE static void CopyItem(const CopyRowsTask& task, Unit* dense, uint32_t units) {
    for (uint32_t at = simt::ThreadIndex(); at < units; at += kThreads * kInFlight) {
      Unit values[kInFlight];
      Unit* in_cache[kInFlight];
      CHUNKKV_UNROLL for (int i = 0; i < kInFlight; ++i) {
        const uint32_t unit = at + i * kThreads;
        in_cache[i] = unit < units ? InCache(task, unit) : nullptr;
        if (in_cache[i] != nullptr) values[i] = simt::Stream(kToDense ? in_cache[i] : dense + unit);
      }
      CHUNKKV_UNROLL for (int i = 0; i < kInFlight; ++i) {
        if (in_cache[i] != nullptr) simt::Store(kToDense ? dense + (at + i * kThreads) : in_cache[i], values[i]);
      }
    }
  }

  // Where a unit of the item lies in the cache, or null.
  CHUNKKV_DEVICE static Unit* InCache(const CopyRowsTask& task, uint32_t unit) {
    const uint32_t row = task.by_row.Divide(unit);
    const uint32_t in_row = unit - row * task.by_row.divisor;
    const uint32_t head = task.by_head.Divide(in_row);
    std::byte* address = RowsInCache()[row];
    if (address == nullptr) return nullptr;
    return reinterpret_cast<Unit*>(address + head * task.cache.head_stride_bytes) +
           (in_row - head * task.by_head.divisor);
  }
};

template <typename Unit>
struct GatherKernel {
  using Params = CopyRowsParams;
  static constexpr int kThreads = CopyRows<Unit>::kThreads;
  static constexpr int kMinBlocksPerSm = 4;
  static size_t SharedBytes(const Params&) { return kMostCopyItemRows * sizeof(std::byte*); }
  CHUNKKV_DEVICE static void Run(const Params& params) { CopyRows<Unit>::template Run<true>(params); }
};

template <typename Unit>
struct ScatterKernel {
  using Params = CopyRowsParams;
  static constexpr int kThreads = CopyRows<Unit>::kThreads;
  static constexpr int kMinBlocksPerSm = 3;
  static size_t SharedBytes(const Params&) { return kMostCopyItemRows * sizeof(std::byte*); }
  CHUNKKV_DEVICE static void Run(const Params& params) { CopyRows<Unit>::template Run<false>(params); }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_COPY_ROWS_KERNEL_H_
