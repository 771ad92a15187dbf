// Limits of what rows and lists of positions may be, whoever calls: kernels count tokens, and the elements of a row, in
// 32 bits. Addresses are not looked at, but for whether block ids are given.
#ifndef CHUNKKV_KERNELS_COMMON_CHECK_DIMENSIONS_H_
#define CHUNKKV_KERNELS_COMMON_CHECK_DIMENSIONS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/tensor_view.h"

namespace chunkkv {

// `name` stands in the refusal: "gather[3]". Errors of all: INVALID_ARGUMENT BAD_TASK.

absl::Status CheckDimensions(const RowsView& rows, absl::string_view name);
absl::Status CheckDimensions(const MutableRowsView& rows, absl::string_view name);

absl::Status CheckPositions(absl::Span<const int32_t> positions, absl::string_view name);

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_COMMON_CHECK_DIMENSIONS_H_
