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

  // Room for the scores of a block's spans, where they are staged.
  static size_t SharedBytes(const Params& params) {
    return IsStaged(params) ? kThreads * (params.by_span.divisor | 1) * sizeof(double) : 0;
  }
  static constexpr int32_t SpansPerBlock(bool warp_per_span) {
    return warp_per_span ? kThreads / simt::kWarpSize : kThreads;
  }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    // Below 2^30 items: spans that have a warp each are long on average.
    const auto blocks = static_cast<uint32_t>(params.key_blocks);
    for (uint32_t item = simt::BlockIndex(); item < blocks * params.group_count; item += simt::BlockCount()) {
      const SelectGroup& group = params.groups[item / blocks];
      const auto first = static_cast<int32_t>(item % blocks * SpansPerBlock(group.warp_per_span));
      if (group.warp_per_span) {
        KeyByWarp(params, group, first + simt::Warp());
      } else if (IsStaged(params)) {
        KeyStaged(params, group, first);
      } else {
        KeyByThread(params, group, first + simt::ThreadIndex());
      }
    }
  }

 private:
  static constexpr uint32_t kMostStagedTokens = 16;  // of a span
  static constexpr int kLoadsInFlight = 4;
  static constexpr int32_t kLongSpanTokens = 64;

  // Whether blocks read scores of short spans, which are next to each other, by neighbouring threads.
  CHUNKKV_HOST_DEVICE static bool IsStaged(const Params& params) {
    return params.pool == 1 && params.by_span.divisor > 1 && params.by_span.divisor <= kMostStagedTokens;
  }

  // Spans of a grid, a block's from `first` on. In shared memory they begin an odd number of scores apart, so that a
  // warp's threads, each adding its own, are at different banks.
  CHUNKKV_DEVICE static void KeyStaged(const Params& params, const SelectGroup& group, int32_t first) {
    if (first >= group.spans.count) return;
    auto* staged = reinterpret_cast<double*>(simt::SharedMemory());
    const auto length = static_cast<int32_t>(params.by_span.divisor);
    const int32_t last = first + kThreads < group.spans.count ? first + kThreads : group.spans.count;
    const int32_t begin = SpanBegin(group.spans, first);
    const int32_t tokens = SpanEnd(group.spans, last - 1) - begin;
    for (int32_t at = simt::ThreadIndex(); at < tokens; at += kThreads * kLoadsInFlight) {
      double scores[kLoadsInFlight];
      CHUNKKV_UNROLL for (int i = 0; i < kLoadsInFlight; ++i) {
        const int32_t token = at + i * kThreads;
        scores[i] = token < tokens ? GroupScore(group, begin + token) : 0;
      }
      CHUNKKV_UNROLL for (int i = 0; i < kLoadsInFlight; ++i) {
        const int32_t token = at + i * kThreads;
        const auto gaps = length % 2 == 0 ? static_cast<int32_t>(params.by_span.Divide(token)) : 0;
        if (token < tokens) staged[token + gaps] = scores[i];
      }
    }
    simt::SyncBlock();
    const int32_t span = first + simt::ThreadIndex();
    if (span < last) {
      const double* of_span = staged + simt::ThreadIndex() * (length | 1);
      const int32_t count = SpanEnd(group.spans, span) - SpanBegin(group.spans, span);
      double score = Neutral(params);
      for (int32_t i = 0; i < count; ++i) score = Reduce(params, score, of_span[i]);
      simt::Store(group.keys + span, KeyOf(params, score, count));
    }
    simt::SyncBlock();
  }

  // A thread a span; the long ones among given spans by all lanes of the warp.
  CHUNKKV_DEVICE static void KeyByThread(const Params& params, const SelectGroup& group, int32_t span) {
    const bool is_span = span < group.spans.count;
    const int32_t begin = is_span ? SpanBegin(group.spans, span) : 0;
    const int32_t end = is_span ? SpanEnd(group.spans, span) : 0;
    const bool is_long = end - begin >= kLongSpanTokens;
    double score = Neutral(params);
    for (int32_t token = begin; token < end && !is_long; ++token) {
      score = Reduce(params, score, PooledScore(params, group, token));
    }
    const uint32_t long_lanes = simt::Ballot(is_long);
    for (int lane = 0; lane < simt::kWarpSize; ++lane) {
      if ((long_lanes >> lane & 1) == 0) continue;
      const double sum = ReduceByWarp(params, group, simt::Shuffle(begin, lane), simt::Shuffle(end, lane));
      if (simt::Lane() == lane) score = sum;
    }
    if (is_span) simt::Store(group.keys + span, KeyOf(params, score, end - begin));
  }

  CHUNKKV_DEVICE static void KeyByWarp(const Params& params, const SelectGroup& group, int32_t span) {
    if (span >= group.spans.count) return;
    const int32_t begin = SpanBegin(group.spans, span);
    const int32_t end = SpanEnd(group.spans, span);
    const double score = ReduceByWarp(params, group, begin, end);
    if (simt::Lane() == 0) simt::Store(group.keys + span, KeyOf(params, score, end - begin));
  }

  CHUNKKV_DEVICE static double ReduceByWarp(const Params& params, const SelectGroup& group, int32_t begin,
                                            int32_t end) {
    double score = Neutral(params);
    for (int32_t token = begin + simt::Lane(); token < end; token += simt::kWarpSize) {
      score = Reduce(params, score, PooledScore(params, group, token));
    }
    for (int mask = 1; mask < simt::kWarpSize; mask *= 2) score = Reduce(params, score, simt::ShuffleXor(score, mask));
    return score;
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
      sum += simt::Load(ListOf(group, list) + token);
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
