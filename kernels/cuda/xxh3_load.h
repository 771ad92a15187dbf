#ifndef CHUNKKV_KERNELS_CUDA_XXH3_LOAD_H_
#define CHUNKKV_KERNELS_CUDA_XXH3_LOAD_H_

#include <cstdint>

#include "kernels/simt/simt.h"

namespace chunkkv::cuda::xxh3 {

// 16 bytes of a message.
struct Chunk {
  uint64_t word[2];
};

// 8 bytes in loads of a Unit, to which `address` is aligned.
template <typename Unit>
CHUNKKV_DEVICE uint64_t LoadWord(const std::byte* address) {
  uint64_t word = 0;
  CHUNKKV_UNROLL for (int i = 0; i < static_cast<int>(8 / sizeof(Unit)); ++i) {
    word |= uint64_t{simt::Stream(reinterpret_cast<const Unit*>(address) + i)} << (8 * sizeof(Unit) * i);
  }
  return word;
}

template <typename Unit>
CHUNKKV_DEVICE Chunk LoadChunk(const std::byte* address) {
  if constexpr (sizeof(Unit) == 16) {
    return simt::BitCast<Chunk>(simt::Stream(reinterpret_cast<const Unit*>(address)));
  } else {
    return {LoadWord<Unit>(address), LoadWord<Unit>(address + 8)};
  }
}

}  // namespace chunkkv::cuda::xxh3

#endif  // CHUNKKV_KERNELS_CUDA_XXH3_LOAD_H_
