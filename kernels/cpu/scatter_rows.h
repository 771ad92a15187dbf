#ifndef CHUNKKV_KERNELS_CPU_SCATTER_ROWS_H_
#define CHUNKKV_KERNELS_CPU_SCATTER_ROWS_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "chunkkv/kernels/tensor_view.h"

namespace chunkkv::cpu {

// Copies `source`, dense [count, head_count, head_size], to the destination's rows at `positions`. `past_caches`: with
// stores that do not bring the destination into caches, wherever its rows fill whole cache lines.
// Returns false, with nothing copied, where a position is outside the rows or a block id outside the cache.
bool ScatterRows(const std::byte* source, absl::Span<const int32_t> positions, const MutableRowsView& destination,
                 bool past_caches);

}  // namespace chunkkv::cpu

#endif  // CHUNKKV_KERNELS_CPU_SCATTER_ROWS_H_
