// Which rows of a view can be copied in one piece.
#ifndef CHUNKKV_KERNELS_CPU_ROW_RUNS_H_
#define CHUNKKV_KERNELS_CPU_ROW_RUNS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "kernels/common/row_address.h"

namespace chunkkv::cpu {

// Bytes of one token's row, and whether they lie together.
struct RowExtent {
  template <typename Byte>
  explicit RowExtent(const BasicRowsView<Byte>& rows)
      : head_bytes(static_cast<int64_t>(DTypeSize(rows.dtype)) * rows.head_size),
        row_bytes(head_bytes * rows.head_count),
        heads_are_dense(rows.head_count == 1 || rows.head_stride_bytes == head_bytes),
        rows_are_dense(heads_are_dense && rows.token_stride_bytes == row_bytes) {}
  int64_t head_bytes;
  int64_t row_bytes;
  bool heads_are_dense;  // a row is one piece
  bool rows_are_dense;   // neighbouring rows are one piece, within a block where they are paged
};

template <typename Byte>
bool HaveRows(const BasicRowsView<Byte>& rows, absl::Span<const int32_t> positions) {
  return std::all_of(positions.begin(), positions.end(), [&rows](int32_t position) { return HasRow(rows, position); });
}

// How many positions from `first` on are copied together: followers of each other in one block, as one piece or, where
// heads lie apart, as one piece per head and token.
template <typename Byte>
size_t RunLength(const BasicRowsView<Byte>& rows, const RowExtent& extent, absl::Span<const int32_t> positions,
                 size_t first) {
  if (extent.heads_are_dense && !extent.rows_are_dense) return 1;
  const int64_t begin = positions[first];
  const size_t most = std::min(positions.size() - first, static_cast<size_t>(StridedTokens(rows, begin)));
  size_t length = 1;
  while (length < most && positions[first + length] == begin + static_cast<int64_t>(length)) ++length;
  return length;
}

}  // namespace chunkkv::cpu

#endif  // CHUNKKV_KERNELS_CPU_ROW_RUNS_H_
