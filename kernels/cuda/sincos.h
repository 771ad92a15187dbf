#ifndef CHUNKKV_KERNELS_CUDA_SINCOS_H_
#define CHUNKKV_KERNELS_CUDA_SINCOS_H_

#include <cmath>

#include "kernels/simt/simt.h"

namespace chunkkv::cuda {

struct SinCos {
  double sin;
  double cos;
};

// Within 2^-50 for |angle| < 2^40, without tables in local memory: two-step reduction by pi / 2, then polynomials.
// Source: fdlibm, __kernel_sin and __kernel_cos.
CHUNKKV_DEVICE SinCos SinCosOf(double angle) {
  constexpr double kToInteger = 0x1.8p52;  // adding it rounds to an integer
  const double quarters = angle * 6.36619772367581382433e-01 + kToInteger - kToInteger;
  const double r = fma(-quarters, 6.12323399573676603587e-17, fma(-quarters, 1.57079632679489655800e+00, angle));
  const double z = r * r;
  double s = 1.58969099521155010221e-10;
  s = s * z - 2.50507602534068634195e-08;
  s = s * z + 2.75573137070700676789e-06;
  s = s * z - 1.98412698298579493134e-04;
  s = s * z + 8.33333333332248946124e-03;
  s = s * z - 1.66666666666666324348e-01;
  s = r + r * z * s;
  double c = -1.13596475577881948265e-11;
  c = c * z + 2.08757232129817482790e-09;
  c = c * z - 2.75573143513906633035e-07;
  c = c * z + 2.48015872894767294178e-05;
  c = c * z - 1.38888888888741095749e-03;
  c = c * z + 4.16666666666666019037e-02;
  c = 1.0 - 0.5 * z + z * z * c;
  const auto quadrant = static_cast<int64_t>(quarters) & 3;
  const double sin = quadrant % 2 == 0 ? s : c;
  const double cos = quadrant % 2 == 0 ? c : s;
  return {quadrant >= 2 ? -sin : sin, quadrant == 1 || quadrant == 2 ? -cos : cos};
}

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_SINCOS_H_
