// Vectors of floats from f32, f16 and bf16 elements. Included once per instruction set.
#include <hwy/highway.h>

#include "chunkkv/kernels/dtype.h"

#if defined(CHUNKKV_KERNELS_CPU_LOAD_FLOAT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CHUNKKV_KERNELS_CPU_LOAD_FLOAT_INL_H_
#undef CHUNKKV_KERNELS_CPU_LOAD_FLOAT_INL_H_
#else
#define CHUNKKV_KERNELS_CPU_LOAD_FLOAT_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace chunkkv::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using FloatVec = hn::Vec<FloatTag>;

template <DType kDType>
struct Element;

template <>
struct Element<DType::kF32> {
  static constexpr size_t kSize = 4;
  static HWY_INLINE FloatVec Load(FloatTag d, const std::byte* from) {
    return hn::LoadU(d, reinterpret_cast<const float*>(from));
  }
};

template <>
struct Element<DType::kBF16> {
  static constexpr size_t kSize = 2;
  static HWY_INLINE FloatVec Load(FloatTag d, const std::byte* from) {
    const hn::Rebind<uint16_t, FloatTag> d16;
    const hn::RebindToUnsigned<FloatTag> d32;
    const auto bits = hn::PromoteTo(d32, hn::LoadU(d16, reinterpret_cast<const uint16_t*>(from)));
    return hn::BitCast(d, hn::ShiftLeft<16>(bits));
  }
};

template <>
struct Element<DType::kF16> {
  static constexpr size_t kSize = 2;
  static HWY_INLINE FloatVec Load(FloatTag d, const std::byte* from) {
#if (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2) || HWY_ARCH_ARM
    const hn::Rebind<hwy::float16_t, FloatTag> d16;
    return hn::PromoteTo(d, hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(from)));
#else
    // Highway's emulation takes Inf and NaN for large numbers. See half.h for the arithmetic.
    const hn::Rebind<uint16_t, FloatTag> d16;
    const hn::RebindToUnsigned<FloatTag> d32;
    const auto bits = hn::PromoteTo(d32, hn::LoadU(d16, reinterpret_cast<const uint16_t*>(from)));
    const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(d32, 0x8000u)));
    const auto magnitude = hn::ShiftLeft<13>(hn::And(bits, hn::Set(d32, 0x7fffu)));
    const auto value = hn::Mul(hn::BitCast(d, magnitude), hn::Set(d, 0x1p112f));
    const auto exponent = hn::And(bits, hn::Set(d32, 0x7c00u));
    const auto is_special = hn::Eq(exponent, hn::Set(d32, 0x7c00u));
    const auto special = hn::Or(magnitude, hn::Set(d32, 0x7f800000u));
    return hn::BitCast(d, hn::Or(hn::IfThenElse(is_special, special, hn::BitCast(d32, value)), sign));
#endif
  }
};

}  // namespace chunkkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // toggle
