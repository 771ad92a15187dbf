// Views of tensors, read from the structs of the C interface.
#ifndef CHUNKKV_KERNELS_C_VIEWS_H_
#define CHUNKKV_KERNELS_C_VIEWS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "chunkkv/kernels.h"
#include "chunkkv/kernels/tensor_view.h"

namespace chunkkv::c {

// Errors of all: INVALID_ARGUMENT BAD_STRUCT, BAD_DTYPE, BAD_MEMORY_KIND, BAD_TASK.

absl::Status ReadRows(const chunkkv_rows* from, absl::string_view name, MutableRowsView* to);
absl::Status ReadRows(const chunkkv_rows* from, absl::string_view name, RowsView* to);

absl::Status ReadPlace(chunkkv_memory_kind kind, int32_t device, absl::string_view name, MemoryPlace* to);

// A tensor of `element_count` elements.
absl::Status ReadDense(const chunkkv_dense* from, absl::string_view name, int64_t element_count, DenseView* to);

absl::Status ReadPositions(const int32_t* positions, uint64_t count, absl::string_view name,
                           absl::Span<const int32_t>* to);

// Whether `bytes` hold `row_count` dense rows of the view's heads.
absl::Status CheckBytes(uint64_t bytes, uint64_t row_count, const RowsView& rows, absl::string_view name);

}  // namespace chunkkv::c

#endif  // CHUNKKV_KERNELS_C_VIEWS_H_
