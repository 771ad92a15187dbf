#ifndef CHUNKKV_KERNELS_CUDA_SPAN_KEY_KERNEL_H_
#define CHUNKKV_KERNELS_CUDA_SPAN_KEY_KERNEL_H_

#include "chunkkv/kernels/spec.h"
#include "kernels/cuda/select_params.h"

namespace chunkkv::cuda {

// keys[s] = the span's score (sum, mean or largest of its tokens' pooled scores, added over the group's lists) as an
// integer of the same order. Added up in float64, always in the same order, and rounded once: equal spans tie.
struct SpanKeyKernel {
  using Params = SelectParams;
  static constexpr int kThreads = 256;
  static constexpr int kMinBlocksPerSm = 1;

  static size_t SharedBytes(const Params&) { return 0; }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    const int spans_per_block = params.warp_per_span ? kThreads / simt::kWarpSize : kThreads;
    const int64_t blocks = (params.most_spans + spans_per_block - 1) / spans_per_block;
    for (int64_t item = simt::BlockIndex(); item < blocks * params.group_count; item += simt::BlockCount()) {
      const SelectGroup& group = params.groups[item / blocks];
      const auto first = static_cast<int32_t>(item % blocks * spans_per_block);
      if (params.warp_per_span) {
        KeyByWarp(params, group, first + simt::Warp());
      } else {
        KeyByThread(params, group, first + simt::ThreadIndex());
      }
    }
  }

 private:
  CHUNKKV_DEVICE static void KeyByThread(const Params& params, const SelectGroup& group, int32_t span) {
    if (span >= group.spans.count) return;
    const int32_t begin = SpanBegin(group.spans, span);
    const int32_t end = SpanEnd(group.spans, span);
    double score = Neutral(params);
    for (int32_t token = begin; token < end; ++token) score = Reduce(params, score, PooledScore(params, group, token));
    simt::Store(group.keys + span, KeyOf(params, score, end - begin));
  }

  CHUNKKV_DEVICE static void KeyByWarp(const Params& params, const SelectGroup& group, int32_t span) {
    if (span >= group.spans.count) return;
    const int32_t begin = SpanBegin(group.spans, span);
    const int32_t end = SpanEnd(group.spans, span);
    double score = Neutral(params);
    for (int32_t token = begin + simt::Lane(); token < end; token += simt::kWarpSize) {
      score = Reduce(params, score, PooledScore(params, group, token));
    }
    for (int mask = 1; mask < simt::kWarpSize; mask *= 2) score = Reduce(params, score, simt::ShuffleXor(score, mask));
    if (simt::Lane() == 0) simt::Store(group.keys + span, KeyOf(params, score, end - begin));
  }

  CHUNKKV_DEVICE static bool IsMax(const Params& params) {
    return params.chunk_reduce == static_cast<int32_t>(ChunkReduce::kMax);
  }
  CHUNKKV_DEVICE static double Neutral(const Params& params) { return IsMax(params) ? -1.0 : 0.0; }  // scores are >= 0
  CHUNKKV_DEVICE static double Reduce(const Params& params, double a, double b) {
    if (IsMax(params)) return a > b ? a : b;
    return a + b;
  }

  CHUNKKV_DEVICE static double GroupScore(const SelectGroup& group, int32_t token) {
    double sum = 0;
    for (int32_t list = 0; list < group.list_count; ++list) {
      sum += simt::Load(simt::Load(group.token_scores + list) + token);
    }
    return sum;
  }

  // Mean over `pool` tokens around; beyond the edges the scores are zero, and count.
  CHUNKKV_DEVICE static double PooledScore(const Params& params, const SelectGroup& group, int32_t token) {
    if (params.pool == 1) return GroupScore(group, token);
    const int32_t half = params.pool / 2;
    const int32_t first = token - half > 0 ? token - half : 0;
    const int32_t last = token + half < params.past_length - 1 ? token + half : params.past_length - 1;
    double sum = 0;
    for (int32_t at = first; at <= last; ++at) sum += GroupScore(group, at);
    return sum / params.pool;
  }

  CHUNKKV_DEVICE static uint32_t KeyOf(const Params& params, double score, int32_t length) {
    if (params.chunk_reduce == static_cast<int32_t>(ChunkReduce::kMean)) score /= length;
    const auto bits = simt::BitCast<uint32_t>(static_cast<float>(score));
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_SPAN_KEY_KERNEL_H_
