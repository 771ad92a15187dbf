// Token scores from attention probabilities, and from scores that are given already.
#ifndef CHUNKKV_KERNELS_CUDA_PROBABILITY_KERNEL_H_
#define CHUNKKV_KERNELS_CUDA_PROBABILITY_KERNEL_H_

#include "kernels/cuda/elements.h"
#include "kernels/cuda/failure.h"

namespace chunkkv::cuda {

struct ProbabilityLayer {
  const std::byte* rows;  // [row_count, column_count], dense
  float* partial_scores;  // [slices, P]
  int32_t dtype;          // DType
  int32_t layer;
  int32_t order;
};

inline constexpr int kProbabilityLayersPerLaunch = 64;

struct ProbabilityParams {
  int64_t column_count;  // L; P where scores are given
  int64_t past_length;
  int64_t row_count;  // H * w'; 1 where scores are given
  int64_t slice_rows;
  int32_t slice_count;
  int32_t layer_count;
  uint64_t* failure;
  ProbabilityLayer layers[kProbabilityLayersPerLaunch];
};

// partial_scores[slice, j] = sum over the slice's rows of rows[., j]: a thread a column. Columns of the window are read
// for what is wrong in them alone. Sums carry their rounding errors along (Kahan), so that thousands of rows add up to
// two units in the last place.
struct ProbabilityKernel {
  using Params = ProbabilityParams;
  static constexpr int kThreads = 256;
  static constexpr int kMinBlocksPerSm = 1;

  static size_t SharedBytes(const Params&) { return 0; }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    const int64_t blocks = (params.column_count + kThreads - 1) / kThreads;
    const int64_t items = blocks * params.slice_count * params.layer_count;
    for (int64_t item = simt::BlockIndex(); item < items; item += simt::BlockCount()) {
      const int64_t column = item % blocks * kThreads + simt::ThreadIndex();
      const auto slice = static_cast<int32_t>(item / blocks % params.slice_count);
      const ProbabilityLayer& layer = params.layers[item / blocks / params.slice_count];
      const bool is_column = column < params.column_count;
      ReportLeast(params.failure, is_column ? AddColumn(params, layer, slice, column) : kNoFailure);
    }
  }

 private:
  // Returns the first failure of the column.
  CHUNKKV_DEVICE static uint64_t AddColumn(const Params& params, const ProbabilityLayer& layer, int32_t slice,
                                           int64_t column) {
    const int64_t begin = slice * params.slice_rows;
    const int64_t end = begin + params.slice_rows < params.row_count ? begin + params.slice_rows : params.row_count;
    float sum = 0;
    float lost = 0;
    uint64_t failure = kNoFailure;
    for (int64_t row = begin; row < end; ++row) {
      const int64_t index = row * params.column_count + column;
      const float value = LoadFloat(layer.rows, static_cast<DType>(layer.dtype), index);
      const bool is_finite = value * 0.0f == 0.0f;
      if (failure == kNoFailure && (!is_finite || value < 0)) {
        const FailureKind kind = is_finite ? FailureKind::kNegative : FailureKind::kNonFinite;
        failure = FailureWord(layer.order, index, layer.layer, kind);
      }
      const float exact = value - lost;
      const float next = sum + exact;
      lost = next - sum - exact;
      sum = next;
    }
    if (column < params.past_length) {
      simt::Store(layer.partial_scores + slice * params.past_length + column, sum);
    }
    return failure;
  }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_PROBABILITY_KERNEL_H_
