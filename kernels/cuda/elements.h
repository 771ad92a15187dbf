// Elements, one at a time: of any dtype to float, and back to f32, f16 and bf16.
#ifndef CHUNKKV_KERNELS_CUDA_ELEMENTS_H_
#define CHUNKKV_KERNELS_CUDA_ELEMENTS_H_

#include <cstddef>
#include <cstdint>

#include "chunkkv/kernels/dtype.h"
#include "kernels/simt/simt.h"

namespace chunkkv::cuda {

// Source of the two: OCP 8-bit Floating Point Specification (kernels/common/half.h).
CHUNKKV_DEVICE float E4M3ToFloat(uint32_t bits) {
  const uint32_t magnitude = (bits & 0x7fu) << 20;
  const float value = simt::BitCast<float>(magnitude) * 0x1p120f;
  const uint32_t exact = (bits & 0x7fu) == 0x7fu ? 0x7fc00000u : simt::BitCast<uint32_t>(value);
  return simt::BitCast<float>(exact | (bits & 0x80u) << 24);
}

CHUNKKV_DEVICE float E5M2ToFloat(uint32_t bits) { return simt::ToFloat(simt::F16{static_cast<uint16_t>(bits << 8)}); }

// Of f32, f16 or bf16.
CHUNKKV_DEVICE float LoadFloat(const std::byte* data, DType dtype, int64_t index) {
  if (dtype == DType::kF32) return simt::Load(reinterpret_cast<const float*>(data) + index);
  if (dtype == DType::kF16) return simt::ToFloat(simt::Load(reinterpret_cast<const simt::F16*>(data) + index));
  return simt::ToFloat(simt::Load(reinterpret_cast<const simt::BF16*>(data) + index));
}

// Of any dtype.
CHUNKKV_DEVICE float LoadKey(const std::byte* data, DType dtype, int64_t index) {
  if (dtype == DType::kF8E4M3) return E4M3ToFloat(simt::Load(reinterpret_cast<const uint8_t*>(data) + index));
  if (dtype == DType::kF8E5M2) return E5M2ToFloat(simt::Load(reinterpret_cast<const uint8_t*>(data) + index));
  return LoadFloat(data, dtype, index);
}

CHUNKKV_DEVICE void StoreFloat(float value, std::byte* data, DType dtype, int64_t index) {
  if (dtype == DType::kF32) return simt::Store(reinterpret_cast<float*>(data) + index, value);
  if (dtype == DType::kF16) return simt::Store(reinterpret_cast<simt::F16*>(data) + index, simt::ToF16(value));
  simt::Store(reinterpret_cast<simt::BF16*>(data) + index, simt::ToBF16(value));
}

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_ELEMENTS_H_
