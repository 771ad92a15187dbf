#ifndef CHUNKKV_TESTS_UNIT_KERNELS_UNIT_IN_LAST_PLACE_H_
#define CHUNKKV_TESTS_UNIT_KERNELS_UNIT_IN_LAST_PLACE_H_

#include <algorithm>
#include <cmath>

#include "chunkkv/kernels/dtype.h"

namespace chunkkv::testing {

// One unit in the last place of `dtype` (f32, f16 or bf16) at `magnitude`.
inline double UnitInLastPlace(DType dtype, double magnitude) {
  const int digits = dtype == DType::kF32 ? 24 : dtype == DType::kF16 ? 11 : 8;
  const int least = dtype == DType::kF16 ? -14 : -126;
  return std::ldexp(1.0, std::max(std::ilogb(magnitude), least) - digits + 1);
}

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_UNIT_KERNELS_UNIT_IN_LAST_PLACE_H_
