#ifndef CHUNKKV_KERNELS_CUDA_DIGEST_PARAMS_H_
#define CHUNKKV_KERNELS_CUDA_DIGEST_PARAMS_H_

#include <cstdint>

#include "kernels/cuda/xxh3.h"

namespace chunkkv::cuda {

// Blocks of a tensor, from the beginning of one on.
struct DigestSpan {
  const std::byte* data;
  uint64_t* block_digests;
  int64_t size_bytes;
};

inline constexpr int kDigestSpansPerLaunch = 128;
inline constexpr int kDigestBlocksPerItem = 4;  // by a warp each

struct DigestParams {
  int32_t span_count;
  int64_t most_items;  // of any span
  xxh3::Tables tables;
  DigestSpan spans[kDigestSpansPerLaunch];
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_DIGEST_PARAMS_H_
