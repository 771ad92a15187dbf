// Views of tensors that somebody else owns.
//
// A view is an address with strides; it never owns or frees. The innermost dimension is always dense. Strides are in
// bytes, so that [L, Hkv, D], [Hkv, L, D] and slices of either need no names.
#ifndef CHUNKKV_KERNELS_TENSOR_VIEW_H_
#define CHUNKKV_KERNELS_TENSOR_VIEW_H_

#include <cstddef>
#include <cstdint>

#include "chunkkv/kernels/dtype.h"

namespace chunkkv {

enum class MemoryKind : uint8_t { kHost, kPinned, kDevice };

struct MemoryPlace {
  MemoryKind kind = MemoryKind::kHost;
  int device = -1;  // CUDA ordinal where kind is kDevice
};

// Per-token rows of one layer: K or V, shape [token_count, head_count, head_size].
// Quantisation scales are viewed the same way (head_size = scales per head).
// Paged rows (block_ids not null) lie in an engine's cache: token t is row t % block_token_count of block
// block_ids[t / block_token_count], and data is the address of block 0.
template <typename Byte>
struct BasicRowsView {
  Byte* data = nullptr;
  DType dtype = DType::kF32;
  int64_t token_count = 0;
  int32_t head_count = 0;
  int32_t head_size = 0;
  int64_t token_stride_bytes = 0;
  int64_t head_stride_bytes = 0;
  MemoryPlace place;
  const int32_t* block_ids = nullptr;  // [ceil(token_count / block_token_count)], in the memory where the rows are
  int32_t block_token_count = 0;
  int32_t block_count = 0;  // of the cache: ids are in [0, block_count)
  int64_t block_stride_bytes = 0;

  bool IsPaged() const { return block_ids != nullptr; }
};

using RowsView = BasicRowsView<const std::byte>;
using MutableRowsView = BasicRowsView<std::byte>;

// Dense [token_count, head_count, head_size].
RowsView TokenMajorRows(const void* data, DType dtype, int64_t token_count, int32_t head_count, int32_t head_size);
// Dense [head_count, token_count, head_size].
RowsView HeadMajorRows(const void* data, DType dtype, int64_t token_count, int32_t head_count, int32_t head_size);

// A dense tensor of any rank; the consumer states the shape. Queries [w, H, D], attention [H, w, L].
struct DenseView {
  const std::byte* data = nullptr;
  DType dtype = DType::kF32;
  MemoryPlace place;
};

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_TENSOR_VIEW_H_
