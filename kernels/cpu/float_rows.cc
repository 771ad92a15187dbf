#include "kernels/cpu/float_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/common/half.h"
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/float_rows.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/load_float-inl.h"

HWY_BEFORE_NAMESPACE();
namespace chunkkv::cpu::HWY_NAMESPACE {

template <DType kDType>
void ToFloatOf(const std::byte* source, size_t count, float* out) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes)
    hn::StoreU(Element<kDType>::Load(d, source + i * Element<kDType>::kSize), d, out + i);
  for (; i < count; ++i) out[i] = LoadElement(source, kDType, static_cast<int64_t>(i));
}

void ToFloatT(const std::byte* source, DType dtype, size_t count, float* out) {
  if (dtype == DType::kF32) return ToFloatOf<DType::kF32>(source, count, out);
  if (dtype == DType::kF16) return ToFloatOf<DType::kF16>(source, count, out);
  if (dtype == DType::kBF16) return ToFloatOf<DType::kBF16>(source, count, out);
  for (size_t i = 0; i < count; ++i) out[i] = LoadElement(source, dtype, static_cast<int64_t>(i));
}

void FromFloatT(const float* source, DType dtype, size_t count, std::byte* out) {
  size_t i = 0;
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  if (dtype == DType::kF32) {
    std::memcpy(out, source, count * sizeof(float));
    return;
  }
  if (dtype == DType::kBF16) {
    const hn::RebindToUnsigned<FloatTag> d32;
    const hn::Rebind<uint16_t, FloatTag> d16;
    for (; i + lanes <= count; i += lanes) {
      const auto value = hn::LoadU(d, source + i);
      const auto bits = hn::BitCast(d32, value);
      const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d32, 1u));
      const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(d32, 0x7fffu)));
      const auto quiet = hn::Or(bits, hn::Set(d32, 0x400000u));
      const auto kept = hn::IfThenElse(hn::RebindMask(d32, hn::IsNaN(value)), quiet, rounded);
      hn::StoreU(hn::DemoteTo(d16, hn::BitCast(hn::RebindToSigned<FloatTag>(), hn::ShiftRight<16>(kept))), d16,
                 reinterpret_cast<uint16_t*>(out) + i);
    }
  }
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
  if (dtype == DType::kF16) {
    const hn::Rebind<hwy::float16_t, FloatTag> d16;
    for (; i + lanes <= count; i += lanes) {
      hn::StoreU(hn::DemoteTo(d16, hn::LoadU(d, source + i)), d16, reinterpret_cast<hwy::float16_t*>(out) + i);
    }
  }
#endif
  for (; i < count; ++i) StoreElement(source[i], out, dtype, static_cast<int64_t>(i));
}

bool AllFiniteT(const float* values, size_t count) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  auto zeros = hn::Zero(d);  // 0 * NaN and 0 * Inf are NaN
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) zeros = hn::MulAdd(hn::LoadU(d, values + i), hn::Zero(d), zeros);
  bool finite = hn::AllFalse(d, hn::IsNaN(zeros));
  for (; i < count; ++i) finite = finite && std::isfinite(values[i]);
  return finite;
}

template <DType kDType>
float AddRowOf(const std::byte* source, size_t count, float* sums) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  auto zeros = hn::Zero(d);
  auto least = hn::Set(d, std::numeric_limits<float>::max());
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto value = Element<kDType>::Load(d, source + i * Element<kDType>::kSize);
    zeros = hn::MulAdd(value, hn::Zero(d), zeros);
    least = hn::Min(least, value);
    hn::StoreU(hn::Add(hn::LoadU(d, sums + i), value), d, sums + i);
  }
  bool finite = hn::AllFalse(d, hn::IsNaN(zeros));
  float lowest = hn::GetLane(hn::MinOfLanes(d, least));
  for (; i < count; ++i) {
    const float value = LoadElement(source, kDType, static_cast<int64_t>(i));
    finite = finite && std::isfinite(value);
    lowest = std::min(lowest, value);
    sums[i] += value;
  }
  return finite ? lowest : std::numeric_limits<float>::quiet_NaN();
}

float AddRowT(const std::byte* source, DType dtype, size_t count, float* sums) {
  if (dtype == DType::kF32) return AddRowOf<DType::kF32>(source, count, sums);
  if (dtype == DType::kF16) return AddRowOf<DType::kF16>(source, count, sums);
  return AddRowOf<DType::kBF16>(source, count, sums);
}

}  // namespace chunkkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace chunkkv::cpu {

HWY_EXPORT(ToFloatT);
HWY_EXPORT(FromFloatT);
HWY_EXPORT(AllFiniteT);
HWY_EXPORT(AddRowT);

void ToFloat(const std::byte* source, DType dtype, size_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(ToFloatT)(source, dtype, count, out);
}

void FromFloat(const float* source, DType dtype, size_t count, std::byte* out) {
  HWY_DYNAMIC_DISPATCH(FromFloatT)(source, dtype, count, out);
}

bool AllFinite(const float* values, size_t count) { return HWY_DYNAMIC_DISPATCH(AllFiniteT)(values, count); }

float AddRow(const std::byte* source, DType dtype, size_t count, float* sums) {
  return HWY_DYNAMIC_DISPATCH(AddRowT)(source, dtype, count, sums);
}

}  // namespace chunkkv::cpu
#endif
