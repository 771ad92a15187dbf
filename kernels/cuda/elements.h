// Elements of any scorable dtype, one at a time.
#ifndef CHUNKKV_KERNELS_CUDA_ELEMENTS_H_
#define CHUNKKV_KERNELS_CUDA_ELEMENTS_H_

#include <cstddef>
#include <cstdint>

#include "chunkkv/kernels/dtype.h"
#include "kernels/simt/simt.h"

namespace chunkkv::cuda {

CHUNKKV_DEVICE float LoadFloat(const std::byte* data, DType dtype, int64_t index) {
  if (dtype == DType::kF32) return simt::Load(reinterpret_cast<const float*>(data) + index);
  if (dtype == DType::kF16) return simt::ToFloat(simt::Load(reinterpret_cast<const simt::F16*>(data) + index));
  return simt::ToFloat(simt::Load(reinterpret_cast<const simt::BF16*>(data) + index));
}

CHUNKKV_DEVICE void StoreFloat(float value, std::byte* data, DType dtype, int64_t index) {
  if (dtype == DType::kF32) return simt::Store(reinterpret_cast<float*>(data) + index, value);
  if (dtype == DType::kF16) return simt::Store(reinterpret_cast<simt::F16*>(data) + index, simt::ToF16(value));
  simt::Store(reinterpret_cast<simt::BF16*>(data) + index, simt::ToBF16(value));
}

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_ELEMENTS_H_
