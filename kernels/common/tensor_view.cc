#include "chunkkv/kernels/tensor_view.h"

namespace chunkkv {

RowsView TokenMajorRows(const void* data, DType dtype, int64_t token_count, int32_t head_count, int32_t head_size) {
  RowsView view{static_cast<const std::byte*>(data), dtype, token_count, head_count, head_size, 0, 0, {}};
  view.head_stride_bytes = static_cast<int64_t>(DTypeSize(dtype)) * head_size;
  view.token_stride_bytes = view.head_stride_bytes * head_count;
  return view;
}

RowsView HeadMajorRows(const void* data, DType dtype, int64_t token_count, int32_t head_count, int32_t head_size) {
  RowsView view{static_cast<const std::byte*>(data), dtype, token_count, head_count, head_size, 0, 0, {}};
  view.token_stride_bytes = static_cast<int64_t>(DTypeSize(dtype)) * head_size;
  view.head_stride_bytes = view.token_stride_bytes * token_count;
  return view;
}

}  // namespace chunkkv
