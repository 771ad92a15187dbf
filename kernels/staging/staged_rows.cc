#include "kernels/staging/staged_rows.h"

#include <algorithm>
#include <cstring>

#include "kernels/common/row_address.h"

namespace chunkkv {
namespace {

bool HasStridesOf(const RowsView& rows, const RowsView& dense) {
  return rows.token_stride_bytes == dense.token_stride_bytes && rows.head_stride_bytes == dense.head_stride_bytes;
}

RowsView TokenMajor(const RowsView& rows, const void* data) {
  return TokenMajorRows(data, rows.dtype, rows.token_count, rows.head_count, rows.head_size);
}

RowsView HeadMajor(const RowsView& rows, const void* data) {
  return HeadMajorRows(data, rows.dtype, rows.token_count, rows.head_count, rows.head_size);
}

}  // namespace

StagedRows::StagedRows(const RowsView& rows)
    : rows_(rows),
      row_bytes_(static_cast<int64_t>(DTypeSize(rows.dtype)) * rows.head_count * rows.head_size),
      is_dense_(!rows.IsPaged() &&
                (HasStridesOf(rows, TokenMajor(rows, nullptr)) || HasStridesOf(rows, HeadMajor(rows, nullptr)))) {}

void StagedRows::Copy(size_t begin, size_t end, std::byte* out) const {
  if (is_dense_) {
    std::memcpy(out, rows_.data + begin, end - begin);
    return;
  }
  const int64_t head_bytes = row_bytes_ / rows_.head_count;
  for (auto at = static_cast<int64_t>(begin); at < static_cast<int64_t>(end);) {
    const int64_t head = at % row_bytes_ / head_bytes;
    const int64_t in_head = at % head_bytes;
    const int64_t count = std::min(head_bytes - in_head, static_cast<int64_t>(end) - at);
    std::memcpy(out, RowAddress(rows_, at / row_bytes_) + head * rows_.head_stride_bytes + in_head, count);
    out += count;
    at += count;
  }
}

RowsView StagedRows::At(const std::byte* data, MemoryPlace place) const {
  const bool is_head_major = is_dense_ && HasStridesOf(rows_, HeadMajor(rows_, nullptr));
  RowsView staged = is_head_major ? HeadMajor(rows_, data) : TokenMajor(rows_, data);
  staged.place = place;
  return staged;
}

}  // namespace chunkkv
