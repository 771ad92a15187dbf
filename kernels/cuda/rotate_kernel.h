#ifndef CHUNKKV_KERNELS_CUDA_ROTATE_KERNEL_H_
#define CHUNKKV_KERNELS_CUDA_ROTATE_KERNEL_H_

#include "kernels/cuda/elements.h"
#include "kernels/cuda/sincos.h"

namespace chunkkv::cuda {

struct RotateRowsTask {
  const std::byte* source;   // [count, head_count, head_size]
  std::byte* destination;    // the same; may be the source
  const int32_t* positions;  // [count]
  const double* inv_freq;    // [pair_count]
  int32_t count;
  int32_t head_count;
  int32_t head_size;
  int32_t first_dim;
  int32_t pair_count;
  int32_t dtype;  // DType
  bool interleaved;
};

inline constexpr int kRotateTasksPerLaunch = 128;

struct RotateRowsParams {
  int32_t task_count;
  int32_t most_rows;  // of any task
  RotateRowsTask tasks[kRotateTasksPerLaunch];
};

// Turns each pair of dimensions of row n by (n - positions[n]) * inv_freq, in float64, rounded to the dtype once from
// float32. A warp a row: a lane a pair, its angle for all heads.
struct RotateKernel {
  using Params = RotateRowsParams;
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocksPerSm = 1;
  static constexpr int kRowsPerBlock = kThreads / simt::kWarpSize;

  static size_t SharedBytes(const Params&) { return 0; }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    const int64_t blocks = (params.most_rows + kRowsPerBlock - 1) / kRowsPerBlock;
    for (int64_t item = simt::BlockIndex(); item < blocks * params.task_count; item += simt::BlockCount()) {
      const RotateRowsTask& task = params.tasks[item / blocks];
      const int64_t row = item % blocks * kRowsPerBlock + simt::Warp();
      if (row < task.count) RotateRow(task, row);
    }
  }

 private:
  CHUNKKV_DEVICE static void RotateRow(const RotateRowsTask& task, int64_t row) {
    const auto dtype = static_cast<DType>(task.dtype);
    const int64_t first_element = row * task.head_count * task.head_size;
    const auto turn = static_cast<double>(row - simt::Load(task.positions + row));
    for (int32_t pair = simt::Lane(); pair < task.pair_count; pair += simt::kWarpSize) {
      const SinCos angle = SinCosOf(turn * simt::Load(task.inv_freq + pair));
      const int32_t first = task.first_dim + (task.interleaved ? 2 * pair : pair);
      const int32_t second = task.interleaved ? first + 1 : first + task.pair_count;
      for (int32_t head = 0; head < task.head_count; ++head) {
        const int64_t element = first_element + int64_t{head} * task.head_size;
        const double x = LoadFloat(task.source, dtype, element + first);
        const double y = LoadFloat(task.source, dtype, element + second);
        StoreFloat(static_cast<float>(x * angle.cos - y * angle.sin), task.destination, dtype, element + first);
        StoreFloat(static_cast<float>(x * angle.sin + y * angle.cos), task.destination, dtype, element + second);
      }
    }
    if (task.destination == task.source) return;
    const int32_t rotary_end = task.first_dim + 2 * task.pair_count;
    for (int32_t dim = simt::Lane(); dim < task.head_size; dim += simt::kWarpSize) {
      if (dim >= task.first_dim && dim < rotary_end) continue;
      for (int32_t head = 0; head < task.head_count; ++head) {
        CopyElement(task, dtype, first_element + int64_t{head} * task.head_size + dim);
      }
    }
  }

  CHUNKKV_DEVICE static void CopyElement(const RotateRowsTask& task, DType dtype, int64_t element) {
    if (dtype == DType::kF32) {
      const auto* from = reinterpret_cast<const uint32_t*>(task.source) + element;
      simt::Store(reinterpret_cast<uint32_t*>(task.destination) + element, simt::Load(from));
    } else {
      const auto* from = reinterpret_cast<const uint16_t*>(task.source) + element;
      simt::Store(reinterpret_cast<uint16_t*>(task.destination) + element, simt::Load(from));
    }
  }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_ROTATE_KERNEL_H_
