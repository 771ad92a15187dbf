// What XXH3-64 with seed 0 is made of. Source: xxHash's doc/xxhash_spec.md, 0.2.0.
#ifndef CHUNKKV_KERNELS_CUDA_XXH3_H_
#define CHUNKKV_KERNELS_CUDA_XXH3_H_

#include <cstdint>

#include "kernels/simt/simt.h"

namespace chunkkv::cuda::xxh3 {

inline constexpr uint64_t kPrime32_1 = 0x9e3779b1;
inline constexpr uint64_t kPrime32_2 = 0x85ebca77;
inline constexpr uint64_t kPrime32_3 = 0xc2b2ae3d;
inline constexpr uint64_t kPrime64_1 = 0x9e3779b185ebca87;
inline constexpr uint64_t kPrime64_2 = 0xc2b2ae3d27d4eb4f;
inline constexpr uint64_t kPrime64_3 = 0x165667b19e3779f9;
inline constexpr uint64_t kPrime64_4 = 0x85ebca77c2b2ae63;
inline constexpr uint64_t kPrime64_5 = 0x27d4eb2f165667c5;
inline constexpr uint64_t kPrimeMx1 = 0x165667919e3779f9;
inline constexpr uint64_t kPrimeMx2 = 0x9fb21c651e98df25;

// Numbers that lanes look up; a kernel has them among its parameters.
struct Tables {
  uint64_t secret[24];  // the default secret's 192 bytes, little-endian
  uint64_t first_accumulator[8];

  // 8 bytes of the secret from byte `offset` on.
  CHUNKKV_DEVICE uint64_t Secret(int offset) const {
    const int shift = offset % 8 * 8;
    const uint64_t word = secret[offset / 8];
    return shift == 0 ? word : (word >> shift) | (secret[offset / 8 + 1] << (64 - shift));
  }
};

inline constexpr Tables kTables = {
    {0xbe4ba423396cfeb8, 0x1cad21f72c81017c, 0xdb979083e96dd4de, 0x1f67b3b7a4a44072,  //
     0x78e5c0cc4ee679cb, 0x2172ffcc7dd05a82, 0x8e2443f7744608b8, 0x4c263a81e69035e0,  //
     0xcb00c391bb52283c, 0xa32e531b8b65d088, 0x4ef90da297486471, 0xd8acdea946ef1938,  //
     0x3f349ce33f76faa8, 0x1d4f0bc7c7bbdcf9, 0x3159b4cd4be0518a, 0x647378d9c97e9fc8,  //
     0xc3ebd33483acc5ea, 0xeb6313faffa081c5, 0x49daf0b751dd0d17, 0x9e68d429265516d3,  //
     0xfca1477d58be162b, 0xce31d07ad1b8f88f, 0x280416958f3acb45, 0x7e404bbbcafbd7af},
    {kPrime32_3, kPrime64_1, kPrime64_2, kPrime64_3, kPrime64_4, kPrime32_2, kPrime64_5, kPrime32_1}};

// Both halves of the 128-bit product, folded.
CHUNKKV_DEVICE uint64_t MultiplyAndFold(uint64_t a, uint64_t b) { return (a * b) ^ simt::MulHigh(a, b); }

CHUNKKV_DEVICE uint64_t Avalanche(uint64_t hash) {
  hash ^= hash >> 37;
  hash *= kPrimeMx1;
  return hash ^ (hash >> 32);
}

// XXH64's, which the shortest messages end with.
CHUNKKV_DEVICE uint64_t AvalancheXxh64(uint64_t hash) {
  hash ^= hash >> 33;
  hash *= kPrime64_2;
  hash ^= hash >> 29;
  hash *= kPrime64_3;
  return hash ^ (hash >> 32);
}

}  // namespace chunkkv::cuda::xxh3

#endif  // CHUNKKV_KERNELS_CUDA_XXH3_H_
