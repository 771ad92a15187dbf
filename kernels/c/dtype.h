// Numbers of the C interface as enumerations.
#ifndef CHUNKKV_KERNELS_C_DTYPE_H_
#define CHUNKKV_KERNELS_C_DTYPE_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "chunkkv/kernels.h"
#include "chunkkv/kernels/dtype.h"
#include "chunkkv/kernels/status.h"

namespace chunkkv::c {

static_assert(static_cast<chunkkv_dtype>(DType::kF32) == CHUNKKV_F32);
static_assert(static_cast<chunkkv_dtype>(DType::kF16) == CHUNKKV_F16);
static_assert(static_cast<chunkkv_dtype>(DType::kBF16) == CHUNKKV_BF16);
static_assert(static_cast<chunkkv_dtype>(DType::kF8E4M3) == CHUNKKV_F8_E4M3);
static_assert(static_cast<chunkkv_dtype>(DType::kF8E5M2) == CHUNKKV_F8_E5M2);

// Errors: INVALID_ARGUMENT BAD_DTYPE.
inline absl::Status ReadDType(chunkkv_dtype from, absl::string_view name, DType* to) {
  if (from < CHUNKKV_F32 || from > CHUNKKV_F8_E5M2) {
    return InvalidArgument("BAD_DTYPE", absl::StrCat(name, ".dtype ", from, " is none of this library's"));
  }
  *to = static_cast<DType>(from);
  return absl::OkStatus();
}

}  // namespace chunkkv::c

#endif  // CHUNKKV_KERNELS_C_DTYPE_H_
