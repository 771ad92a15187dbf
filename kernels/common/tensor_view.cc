#include "chunkkv/kernels/tensor_view.h"

namespace chunkkv {
namespace {

RowsView Rows(const void* data, DType dtype, int64_t token_count, int32_t head_count, int32_t head_size) {
  RowsView view;
  view.data = static_cast<const std::byte*>(data);
  view.dtype = dtype;
  view.token_count = token_count;
  view.head_count = head_count;
  view.head_size = head_size;
  return view;
}

}  // namespace

RowsView TokenMajorRows(const void* data, DType dtype, int64_t token_count, int32_t head_count, int32_t head_size) {
  RowsView view = Rows(data, dtype, token_count, head_count, head_size);
  view.head_stride_bytes = static_cast<int64_t>(DTypeSize(dtype)) * head_size;
  view.token_stride_bytes = view.head_stride_bytes * head_count;
  return view;
}

RowsView HeadMajorRows(const void* data, DType dtype, int64_t token_count, int32_t head_count, int32_t head_size) {
  RowsView view = Rows(data, dtype, token_count, head_count, head_size);
  view.token_stride_bytes = static_cast<int64_t>(DTypeSize(dtype)) * head_size;
  view.head_stride_bytes = view.token_stride_bytes * token_count;
  return view;
}

}  // namespace chunkkv
