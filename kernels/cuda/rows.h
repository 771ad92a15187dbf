// Rows of one tensor as kernels address them: RowsView without its shape.
#ifndef CHUNKKV_KERNELS_CUDA_ROWS_H_
#define CHUNKKV_KERNELS_CUDA_ROWS_H_

#include <cstddef>
#include <cstdint>

#include "kernels/simt/simt.h"

namespace chunkkv::cuda {

struct Rows {
  std::byte* data;
  int64_t token_stride_bytes;
  int64_t head_stride_bytes;
  const int32_t* block_ids;  // null: not paged
  int64_t block_stride_bytes;
  int32_t block_token_count;
  int32_t block_count;
};

// Address of head 0 of `token`; null where its block id is outside the cache. `token` is in [0, token_count).
CHUNKKV_DEVICE std::byte* RowAddress(const Rows& rows, int64_t token) {
  if (rows.block_ids == nullptr) return rows.data + token * rows.token_stride_bytes;
  const auto in_blocks = static_cast<uint32_t>(token);
  const uint32_t block = in_blocks / static_cast<uint32_t>(rows.block_token_count);
  const uint32_t in_block = in_blocks % static_cast<uint32_t>(rows.block_token_count);
  const int32_t id = simt::Load(rows.block_ids + block);
  if (id < 0 || id >= rows.block_count) return nullptr;
  return rows.data + id * rows.block_stride_bytes + in_block * rows.token_stride_bytes;
}

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_ROWS_H_
