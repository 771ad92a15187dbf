#ifndef CHUNKKV_KERNELS_CUDA_PARTS_H_
#define CHUNKKV_KERNELS_CUDA_PARTS_H_

#include <cstdint>

#include "kernels/cuda/fast_divisor.h"
#include "kernels/simt/simt.h"

namespace chunkkv::cuda {

// A prompt [0, L) cut into parts of at most kMostTokens that follow each other: of the sinks, of each chunk of the grid
// alone (so that a chunk is a whole number of parts), and of the window. Parts may be empty where a chunk ends early.
struct Parts {
  static constexpr int kMostTokens = 10;

  int32_t sink_tokens;
  int32_t past_length;
  int32_t token_count;
  int32_t chunk_length;
  int32_t part_length;  // within a chunk; the last one may be shorter
  FastDivisor parts_in_chunk;
  int32_t sink_count;  // parts of the sinks
  int32_t past_count;  // parts of [0, P)
  int32_t count;

  // First token of part `part` in [0, count]; it ends where the next one begins.
  CHUNKKV_DEVICE int32_t Begin(int32_t part) const {
    if (part < sink_count) return part * kMostTokens;
    if (part >= past_count) return Least(past_length + (part - past_count) * kMostTokens, token_count);
    const auto of_chunks = static_cast<uint32_t>(part - sink_count);
    const uint32_t chunk = parts_in_chunk.Divide(of_chunks);
    const uint32_t in_chunk = of_chunks - chunk * parts_in_chunk.divisor;
    return Least(
        sink_tokens + static_cast<int32_t>(chunk) * chunk_length + static_cast<int32_t>(in_chunk) * part_length,
        past_length);
  }

 private:
  CHUNKKV_DEVICE static int32_t Least(int32_t a, int32_t b) { return a < b ? a : b; }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_PARTS_H_
