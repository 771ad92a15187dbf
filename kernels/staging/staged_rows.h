#ifndef CHUNKKV_KERNELS_STAGING_STAGED_ROWS_H_
#define CHUNKKV_KERNELS_STAGING_STAGED_ROWS_H_

#include <cstddef>
#include <cstdint>

#include "chunkkv/kernels/tensor_view.h"

namespace chunkkv {

// How rows of the host become one dense piece of memory: as they lie, where they are dense (token-major or head-major),
// else packed token-major.
class StagedRows {
 public:
  explicit StagedRows(const RowsView& rows);

  size_t Bytes() const { return static_cast<size_t>(row_bytes_ * rows_.token_count); }
  // Bytes [begin, end) of the dense piece, to `out`. Block ids are in range.
  void Copy(size_t begin, size_t end, std::byte* out) const;
  // The rows once they lie at `data`.
  RowsView At(const std::byte* data, MemoryPlace place) const;

 private:
  RowsView rows_;
  int64_t row_bytes_;
  bool is_dense_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_STAGING_STAGED_ROWS_H_
