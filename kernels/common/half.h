// One element of a tensor to float and back, bit patterns in and out.
#ifndef CHUNKKV_KERNELS_COMMON_HALF_H_
#define CHUNKKV_KERNELS_COMMON_HALF_H_

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "chunkkv/kernels/dtype.h"

namespace chunkkv {

inline float F16ToFloat(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(bits & 0x7fffu) << 13;
  // 2^112 moves the exponent's bias from 15 to 127, subnormals included.
  float value = std::bit_cast<float>(magnitude) * 0x1p112f;
  if ((bits & 0x7c00u) == 0x7c00u) value = std::bit_cast<float>(magnitude | 0x7f800000u);
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
}

inline float Bf16ToFloat(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// Source: OCP 8-bit Floating Point Specification. E4M3 has no Inf, and one NaN a sign.
inline float F8E4M3ToFloat(uint8_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x80u) << 24;
  const uint32_t magnitude = static_cast<uint32_t>(bits & 0x7fu) << 20;
  // 2^120 moves the exponent's bias from 7 to 127, subnormals included.
  float value = std::bit_cast<float>(magnitude) * 0x1p120f;
  if ((bits & 0x7fu) == 0x7fu) value = std::bit_cast<float>(0x7fc00000u);
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
}

inline float F8E5M2ToFloat(uint8_t bits) { return F16ToFloat(static_cast<uint16_t>(bits << 8)); }

// Nearest, ties to even; overflow becomes Inf, NaN stays NaN.
inline uint16_t FloatToBf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

inline uint16_t FloatToF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65520 and more round to Inf
  if (magnitude < 0x38800000u) {                                               // below 2^-14: a multiple of 2^-24
    const float steps = std::nearbyint(std::bit_cast<float>(magnitude) * 0x1p24f);
    return static_cast<uint16_t>(sign | static_cast<uint16_t>(steps));
  }
  const uint32_t rebiased = magnitude - (112u << 23);
  return static_cast<uint16_t>(sign | ((rebiased + 0xfffu + ((rebiased >> 13) & 1u)) >> 13));
}

// Element `index` of `dtype` at `data`, which need not be aligned.
inline float LoadElement(const std::byte* data, DType dtype, int64_t index) {
  if (dtype == DType::kF8E4M3) return F8E4M3ToFloat(static_cast<uint8_t>(data[index]));
  if (dtype == DType::kF8E5M2) return F8E5M2ToFloat(static_cast<uint8_t>(data[index]));
  if (dtype == DType::kF32) {
    float value;
    std::memcpy(&value, data + index * 4, sizeof value);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, data + index * 2, sizeof bits);
  return dtype == DType::kF16 ? F16ToFloat(bits) : Bf16ToFloat(bits);
}

// Of a scorable dtype.
inline void StoreElement(float value, std::byte* data, DType dtype, int64_t index) {
  if (dtype == DType::kF32) {
    std::memcpy(data + index * 4, &value, sizeof value);
    return;
  }
  const uint16_t bits = dtype == DType::kF16 ? FloatToF16(value) : FloatToBf16(value);
  std::memcpy(data + index * 2, &bits, sizeof bits);
}

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_COMMON_HALF_H_
