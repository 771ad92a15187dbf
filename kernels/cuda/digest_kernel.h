#ifndef CHUNKKV_KERNELS_CUDA_DIGEST_KERNEL_H_
#define CHUNKKV_KERNELS_CUDA_DIGEST_KERNEL_H_

#include "chunkkv/kernels/digest_block.h"
#include "kernels/cuda/digest_params.h"
#include "kernels/cuda/xxh3_long.h"
#include "kernels/cuda/xxh3_short.h"

namespace chunkkv::cuda {

// XXH3-64 of each block of the spans, a warp a block. Addresses and sizes of the spans are multiples of a Unit.
template <typename Unit>
struct DigestKernel {
  using Params = DigestParams;
  static constexpr int kThreads = kDigestBlocksPerItem * simt::kWarpSize;
  static constexpr int kMinBlocksPerSm = 6;
  static size_t SharedBytes(const Params&) { return 0; }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    constexpr auto kBlockBytes = static_cast<int64_t>(kDigestBlockBytes);
    const int warp = simt::Shuffle(simt::Warp(), 0);  // the same in all lanes, as the compiler sees it, too
    for (int64_t item = simt::BlockIndex(); item < params.span_count * params.most_items; item += simt::BlockCount()) {
      const DigestSpan& span = params.spans[item / params.most_items];
      const int64_t block = item % params.most_items * kDigestBlocksPerItem + warp;
      const int64_t left = span.size_bytes - block * kBlockBytes;
      if (left <= 0) continue;
      const auto length = static_cast<int>(left < kBlockBytes ? left : kBlockBytes);
      const uint64_t digest = Digest(params.tables, span.data + block * kBlockBytes, length);
      if (simt::Lane() == 0) simt::Store(span.block_digests + block, digest);
    }
  }

 private:
  CHUNKKV_DEVICE static uint64_t Digest(const xxh3::Tables& tables, const std::byte* block, int length) {
    if (length > xxh3::kMostShortBytes) return xxh3::LongMessage<Unit>(tables, block, length).Digest();
    return xxh3::ShortMessage::Load<Unit>(tables, block, length).Digest();
  }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_DIGEST_KERNEL_H_
