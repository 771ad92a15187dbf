// Operands of tensor core products of rows of queries (A) and rows of keys (B), 16 bytes a lane at a time.
//
// A product over dimensions may take them in any order, if both operands take the same. Lane q of a quad holds, of each
// step of 32 dimensions, the 8 at 8 * q: one 16-byte load, whole sectors a row. Words 0 and 1 of these feed the step's
// first m16n8k16 as its columns {2q, 2q + 1} and {2q + 8, 2q + 9}, words 2 and 3 the second. So neither ldmatrix nor a
// transposition is needed: a key's words are B's registers as they were loaded, pair by pair, and queries lie in shared
// memory such that a lane's 16 bytes are A's four registers. No operand is moved between registers.
#ifndef CHUNKKV_KERNELS_CUDA_MMA_TILE_H_
#define CHUNKKV_KERNELS_CUDA_MMA_TILE_H_

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/cuda/elements.h"
#include "kernels/simt/simt.h"

namespace chunkkv::cuda {

// Keys of fp8, that become Element when they are loaded.
struct E4M3 {
  uint8_t bits;
};
struct E5M2 {
  uint8_t bits;
};

CHUNKKV_DEVICE float ToFloat(E4M3 x) { return E4M3ToFloat(x.bits); }
CHUNKKV_DEVICE float ToFloat(E5M2 x) { return E5M2ToFloat(x.bits); }

// 8 elements from `dim` on, as Element, which holds every fp8 value exactly. `row` is aligned to them.
template <typename Element, typename Stored>
CHUNKKV_DEVICE simt::Words4 LoadEight(const std::byte* row, int dim) {
  if constexpr (std::is_same_v<Element, Stored>) {
    return simt::Stream(reinterpret_cast<const simt::Words4*>(row + dim * sizeof(Element)));
  } else {
    const uint64_t eight = simt::Stream(reinterpret_cast<const uint64_t*>(row + dim));
    simt::Words4 words = {};
    CHUNKKV_UNROLL for (int i = 0; i < 8; ++i) {
      const float value = ToFloat(Stored{static_cast<uint8_t>(eight >> (8 * i))});
      uint32_t bits;
      if constexpr (std::is_same_v<Element, simt::F16>) {
        bits = simt::ToF16(value).bits;
      } else {
        bits = simt::ToBF16(value).bits;
      }
      words.word[i / 2] |= bits << (i % 2 * 16);
    }
    return words;
  }
}

template <typename Element, int kSteps>
struct MmaTile {
  static constexpr int kUnits = kSteps * 4;  // of 16 bytes, in a row
  // A row in shared memory: 64 bytes more than a multiple of 128, so that the 8 lanes that read 16 bytes at once, 4 of
  // each of two rows, meet all 32 banks.
  static constexpr int kRowBytes = kSteps * 64 + (kSteps % 2 == 0 ? 64 : 0);

  // This lane's part of one row, of 8 bytes times kUnits.
  struct Rows {
    simt::Words4 words[kSteps];

    // `row`, of elements Stored, null: zeros. Dimensions from head_size on are zeros.
    template <typename Stored = Element>
    CHUNKKV_DEVICE void LoadFrom(const std::byte* row, int head_size) {
      CHUNKKV_UNROLL for (int step = 0; step < kSteps; ++step) {
        const int dim = step * 32 + simt::Lane() % 4 * 8;
        words[step] = {};
        if (row != nullptr && dim < head_size) {
          words[step] = LoadEight<Element, Stored>(row, dim);
        }
      }
    }
  };

  // products[query, key] += 16 queries times 8 keys over half a step (`half`: 0 or 1) of 16 dimensions. Of lane 4g + q:
  // products 0 and 1 are of query g and keys 2q and 2q + 1, products 2 and 3 of query g + 8.
  CHUNKKV_DEVICE static void Multiply(const simt::Words4& queries, const simt::Words4& key, int half,
                                      float (&products)[4]) {
    simt::Mma<Element>(products, queries.word, key.word[2 * half], key.word[2 * half + 1]);
  }

  CHUNKKV_DEVICE static std::byte* UnitAddress(std::byte* rows, int row, int unit) {
    return rows + row * kRowBytes + unit * 16;
  }
  CHUNKKV_DEVICE static void StoreUnit(std::byte* rows, int row, int unit, const simt::Words4& words) {
    *reinterpret_cast<simt::Words4*>(UnitAddress(rows, row, unit)) = words;
  }
  // Of the step, the unit of this lane's place in its quad.
  CHUNKKV_DEVICE static simt::Words4 UnitOf(std::byte* rows, int row, int step) {
    return *reinterpret_cast<const simt::Words4*>(UnitAddress(rows, row, step * 4 + simt::Lane() % 4));
  }

  // Whether none of 8 elements is NaN or Inf.
  CHUNKKV_DEVICE static bool IsFinite(const simt::Words4& words) {
    constexpr uint32_t kExponent = std::is_same_v<Element, simt::F16> ? 0x7c00u : 0x7f80u;
    bool is_finite = true;
    CHUNKKV_UNROLL for (const uint32_t word : words.word) {
      is_finite = is_finite && (word & kExponent) != kExponent && (word >> 16 & kExponent) != kExponent;
    }
    return is_finite;
  }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_MMA_TILE_H_
