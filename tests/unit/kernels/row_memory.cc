#include "tests/unit/kernels/row_memory.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

namespace chunkkv::testing {
namespace {

constexpr int64_t kSpareBlocks = 3;

// Strides of rows inside one block, or of all rows where they are not paged.
RowsView Strides(const RowShape& shape, RowLayout layout) {
  switch (layout) {
    case RowLayout::kTokenMajor:
    case RowLayout::kPaged:
      return TokenMajorRows(nullptr, shape.dtype, shape.token_count, shape.head_count, shape.head_size);
    case RowLayout::kHeadMajor:
      return HeadMajorRows(nullptr, shape.dtype, shape.token_count, shape.head_count, shape.head_size);
    case RowLayout::kPagedHeadMajor: {
      RowsView rows = HeadMajorRows(nullptr, shape.dtype, shape.block_token_count, shape.head_count, shape.head_size);
      rows.token_count = shape.token_count;
      return rows;
    }
    case RowLayout::kStrided: {
      RowsView rows = TokenMajorRows(nullptr, shape.dtype, shape.token_count, shape.head_count, shape.head_size);
      const auto element_bytes = static_cast<int64_t>(DTypeSize(shape.dtype));
      rows.head_stride_bytes += 3 * element_bytes;
      rows.token_stride_bytes = rows.head_stride_bytes * shape.head_count + 5 * element_bytes;
      return rows;
    }
  }
  return {};
}

}  // namespace

RowMemory::RowMemory(const RowShape& shape, RowLayout layout, std::mt19937& random) : strides_(Strides(shape, layout)) {
  const int64_t row_bytes = static_cast<int64_t>(DTypeSize(shape.dtype)) * shape.head_count * shape.head_size;
  int64_t size = shape.token_count * row_bytes;
  if (layout == RowLayout::kStrided) {
    offset_ = 1;  // aligned to nothing
    size = offset_ + shape.token_count * strides_.token_stride_bytes;
  }
  if (IsPaged(layout)) {
    const int64_t used_blocks = (shape.token_count + shape.block_token_count - 1) / shape.block_token_count;
    const int64_t block_bytes = shape.block_token_count * row_bytes;
    const bool is_second_half = layout == RowLayout::kPagedHeadMajor;
    offset_ = is_second_half ? block_bytes : 0;
    strides_.block_token_count = shape.block_token_count;
    strides_.block_count = static_cast<int32_t>(used_blocks + kSpareBlocks);
    strides_.block_stride_bytes = is_second_half ? 2 * block_bytes : block_bytes;
    size = strides_.block_count * strides_.block_stride_bytes;
    block_ids_.resize(strides_.block_count);
    std::iota(block_ids_.begin(), block_ids_.end(), 0);
    std::shuffle(block_ids_.begin(), block_ids_.end(), random);
    block_ids_.resize(used_blocks);
  }
  bytes_.resize(size);
  for (std::byte& byte : bytes_) byte = std::byte(random() & 0x3f);
}

template <typename Byte>
BasicRowsView<Byte> RowMemory::View(Byte* bytes) const {
  BasicRowsView<Byte> view;
  view.data = bytes + offset_;
  view.dtype = strides_.dtype;
  view.token_count = strides_.token_count;
  view.head_count = strides_.head_count;
  view.head_size = strides_.head_size;
  view.token_stride_bytes = strides_.token_stride_bytes;
  view.head_stride_bytes = strides_.head_stride_bytes;
  view.block_ids = block_ids_.data();
  view.block_token_count = strides_.block_token_count;
  view.block_count = strides_.block_count;
  view.block_stride_bytes = strides_.block_stride_bytes;
  return view;
}

template BasicRowsView<const std::byte> RowMemory::View(const std::byte* bytes) const;
template BasicRowsView<std::byte> RowMemory::View(std::byte* bytes) const;

int64_t HeadOffset(const RowsView& rows, int64_t token, int64_t head) {
  int64_t offset = head * rows.head_stride_bytes;
  if (rows.block_ids == nullptr) return offset + token * rows.token_stride_bytes;
  const auto [block, row] = std::div(token, int64_t{rows.block_token_count});
  offset += rows.block_ids[block] * rows.block_stride_bytes;
  return offset + row * rows.token_stride_bytes;
}

}  // namespace chunkkv::testing
