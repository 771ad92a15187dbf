#ifndef CHUNKKV_KERNELS_CUDA_XXH3_SHORT_H_
#define CHUNKKV_KERNELS_CUDA_XXH3_SHORT_H_

#include <type_traits>

#include "kernels/cuda/xxh3.h"

namespace chunkkv::cuda::xxh3 {

inline constexpr int kMostShortBytes = 240;

// XXH3-64 of 1 to 240 bytes by a warp: lane n holds bytes [8n, 8n + 8), and all lanes compute the same.
class ShortMessage {
 public:
  // Address and length are multiples of a Unit.
  template <typename Unit>
  CHUNKKV_DEVICE static ShortMessage Load(const Tables& tables, const std::byte* message, int length) {
    using Word = std::conditional_t<sizeof(Unit) == 16, uint64_t, Unit>;
    constexpr int kWordBytes = sizeof(Word);
    uint64_t bytes = 0;
    CHUNKKV_UNROLL for (int i = 0; i < 8; i += kWordBytes) {
      const int offset = simt::Lane() * 8 + i;
      if (offset >= length) continue;
      bytes |= uint64_t{simt::Stream(reinterpret_cast<const Word*>(message + offset))} << (8 * i);
    }
    return ShortMessage(tables, bytes, length);
  }

  CHUNKKV_DEVICE uint64_t Digest() const {
    if (length_ <= 3) return OfAtMost3();
    if (length_ <= 8) return OfAtMost8();
    if (length_ <= 16) return OfAtMost16();
    return length_ <= 128 ? OfAtMost128() : OfAtMost240();
  }

 private:
  CHUNKKV_DEVICE ShortMessage(const Tables& tables, uint64_t bytes, int length)
      : tables_(tables), bytes_(bytes), length_(length) {}

  // 8 bytes from byte `offset` on, zeros after the end.
  CHUNKKV_DEVICE uint64_t Read(int offset) const {
    const int shift = offset % 8 * 8;
    const uint64_t low = simt::Shuffle(bytes_, offset / 8);
    const uint64_t high = simt::Shuffle(bytes_, offset / 8 + 1);
    return shift == 0 ? low : (low >> shift) | (high << (64 - shift));
  }

  CHUNKKV_DEVICE uint64_t Mix16(int offset, int secret_offset) const {
    const uint64_t low = Read(offset) ^ tables_.Secret(secret_offset);
    const uint64_t high = Read(offset + 8) ^ tables_.Secret(secret_offset + 8);
    return MultiplyAndFold(low, high);
  }

  CHUNKKV_DEVICE uint64_t OfAtMost3() const {
    const uint64_t first = Read(0) & 0xff;
    const uint64_t middle = Read(length_ / 2) & 0xff;
    const uint64_t last = Read(length_ - 1) & 0xff;
    const uint64_t combined = (first << 16) | (middle << 24) | last | (static_cast<uint64_t>(length_) << 8);
    const uint64_t secret = tables_.Secret(0);
    return AvalancheXxh64(combined ^ ((secret & 0xffffffff) ^ (secret >> 32)));
  }

  CHUNKKV_DEVICE uint64_t OfAtMost8() const {
    const auto length = static_cast<uint64_t>(length_);
    const uint64_t first = Read(0) & 0xffffffff;
    const uint64_t last = Read(length_ - 4) & 0xffffffff;
    uint64_t hash = (last | (first << 32)) ^ (tables_.Secret(8) ^ tables_.Secret(16));
    hash ^= ((hash << 49) | (hash >> 15)) ^ ((hash << 24) | (hash >> 40));
    hash *= kPrimeMx2;
    hash ^= (hash >> 35) + length;
    hash *= kPrimeMx2;
    return hash ^ (hash >> 28);
  }

  CHUNKKV_DEVICE uint64_t OfAtMost16() const {
    const uint64_t low = Read(0) ^ (tables_.Secret(24) ^ tables_.Secret(32));
    const uint64_t high = Read(length_ - 8) ^ (tables_.Secret(40) ^ tables_.Secret(48));
    return Avalanche(static_cast<uint64_t>(length_) + SwapBytes(low) + high + MultiplyAndFold(low, high));
  }

  CHUNKKV_DEVICE uint64_t OfAtMost128() const {
    uint64_t hash = static_cast<uint64_t>(length_) * kPrime64_1;
    const int pairs = (length_ - 1) / 32;  // of chunks from both ends, besides the outermost
    for (int i = 0; i <= pairs; ++i) {
      hash += Mix16(16 * i, 32 * i);
      hash += Mix16(length_ - 16 * (i + 1), 32 * i + 16);
    }
    return Avalanche(hash);
  }

  CHUNKKV_DEVICE uint64_t OfAtMost240() const {
    constexpr int kSecondSecretOffset = 3;  // of the chunks after the eighth
    constexpr int kLastSecretOffset = 119;
    uint64_t hash = static_cast<uint64_t>(length_) * kPrime64_1;
    for (int i = 0; i < 8; ++i) hash += Mix16(16 * i, 16 * i);
    hash = Avalanche(hash);
    for (int i = 8; i < length_ / 16; ++i) hash += Mix16(16 * i, 16 * (i - 8) + kSecondSecretOffset);
    hash += Mix16(length_ - 16, kLastSecretOffset);
    return Avalanche(hash);
  }

  CHUNKKV_DEVICE static uint64_t SwapBytes(uint64_t x) {
    x = ((x & 0x00ff00ff00ff00ff) << 8) | ((x >> 8) & 0x00ff00ff00ff00ff);
    x = ((x & 0x0000ffff0000ffff) << 16) | ((x >> 16) & 0x0000ffff0000ffff);
    return (x << 32) | (x >> 32);
  }

  const Tables& tables_;
  uint64_t bytes_;
  int length_;
};

}  // namespace chunkkv::cuda::xxh3

#endif  // CHUNKKV_KERNELS_CUDA_XXH3_SHORT_H_
