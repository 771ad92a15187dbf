#ifndef CHUNKKV_KERNELS_CPU_COPY_ROWS_H_
#define CHUNKKV_KERNELS_CPU_COPY_ROWS_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "chunkkv/kernels/tensor_view.h"

namespace chunkkv::cpu {

// Copies the rows at `positions` to `destination`, dense [count, head_count, head_size]. `past_caches`: with stores
// that do not bring the destination into caches, which pays where it is larger than they are.
// Returns false, with nothing copied, where a position is outside the rows or a block id outside the cache.
bool CopyRows(const RowsView& source, absl::Span<const int32_t> positions, std::byte* destination, bool past_caches);

}  // namespace chunkkv::cpu

#endif  // CHUNKKV_KERNELS_CPU_COPY_ROWS_H_
