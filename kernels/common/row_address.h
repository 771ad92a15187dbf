// Where the rows of a view lie, paged or not.
#ifndef CHUNKKV_KERNELS_COMMON_ROW_ADDRESS_H_
#define CHUNKKV_KERNELS_COMMON_ROW_ADDRESS_H_

#include <algorithm>
#include <cstdint>

#include "chunkkv/kernels/tensor_view.h"

namespace chunkkv {

// Whether token `token` has a row: it is one of the view's, and its block one of the cache's.
template <typename Byte>
bool HasRow(const BasicRowsView<Byte>& rows, int64_t token) {
  if (token < 0 || token >= rows.token_count) return false;
  if (!rows.IsPaged()) return true;
  const int32_t block = rows.block_ids[token / rows.block_token_count];
  return block >= 0 && block < rows.block_count;
}

// Whether all of the view's tokens have rows.
template <typename Byte>
bool HasAllRows(const BasicRowsView<Byte>& rows) {
  if (!rows.IsPaged()) return true;
  const int64_t used_blocks = (rows.token_count + rows.block_token_count - 1) / rows.block_token_count;
  return std::all_of(rows.block_ids, rows.block_ids + used_blocks,
                     [&](int32_t block) { return block >= 0 && block < rows.block_count; });
}

// Head 0 of token `token`, which has a row.
template <typename Byte>
Byte* RowAddress(const BasicRowsView<Byte>& rows, int64_t token) {
  if (!rows.IsPaged()) return rows.data + token * rows.token_stride_bytes;
  return rows.data + rows.block_ids[token / rows.block_token_count] * rows.block_stride_bytes +
         token % rows.block_token_count * rows.token_stride_bytes;
}

// How many tokens from `token` on lie token_stride_bytes apart: up to the end of its block, or of the rows.
template <typename Byte>
int64_t StridedTokens(const BasicRowsView<Byte>& rows, int64_t token) {
  const int64_t left = rows.token_count - token;
  return rows.IsPaged() ? std::min<int64_t>(left, rows.block_token_count - token % rows.block_token_count) : left;
}

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_COMMON_ROW_ADDRESS_H_
