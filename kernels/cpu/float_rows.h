// Rows of elements to float (of any dtype) and back (to f32, f16 and bf16), vectorised. Addresses need no alignment.
#ifndef CHUNKKV_KERNELS_CPU_FLOAT_ROWS_H_
#define CHUNKKV_KERNELS_CPU_FLOAT_ROWS_H_

#include <cstddef>

#include "chunkkv/kernels/dtype.h"

namespace chunkkv::cpu {

// out[i] = source[i] for i in [0, count); exact, NaN and Inf included.
void ToFloat(const std::byte* source, DType dtype, size_t count, float* out);

// Rounds to nearest, ties to even.
void FromFloat(const float* source, DType dtype, size_t count, std::byte* out);

// Whether no element is NaN or Inf.
bool AllFinite(const float* values, size_t count);

// sums[i] += source[i]. Returns the least element; NaN where any element is NaN or Inf.
float AddRow(const std::byte* source, DType dtype, size_t count, float* sums);

}  // namespace chunkkv::cpu

#endif  // CHUNKKV_KERNELS_CPU_FLOAT_ROWS_H_
