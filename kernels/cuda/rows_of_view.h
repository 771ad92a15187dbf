#ifndef CHUNKKV_KERNELS_CUDA_ROWS_OF_VIEW_H_
#define CHUNKKV_KERNELS_CUDA_ROWS_OF_VIEW_H_

#include "chunkkv/kernels/tensor_view.h"
#include "kernels/cuda/rows.h"

namespace chunkkv::cuda {

// Kernels that only read get a view's rows, too.
template <typename Byte>
Rows RowsOfView(const BasicRowsView<Byte>& view) {
  return {const_cast<std::byte*>(view.data), view.token_stride_bytes, view.head_stride_bytes, view.block_ids,
          view.block_stride_bytes,           view.block_token_count,  view.block_count};
}

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_ROWS_OF_VIEW_H_
