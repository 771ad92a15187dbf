// Where the bytes of a part of a per-token tensor go: the wall behind which other carriers (shared memory, CUDA IPC,
// NCCL) join, since whatever brings the bytes asks for the same destinations.
//
// A part is dense [tokens, heads, head bytes], or [heads, tokens, head bytes] where the run is head-major. Destinations
// are listed in the order of the part's bytes, so that a receiver copies each byte once, straight to its place.
#ifndef CHUNKKV_SERVICE_TRANSFER_ROW_PLACEMENT_H_
#define CHUNKKV_SERVICE_TRANSFER_ROW_PLACEMENT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "chunkkv/kernels/tensor_view.h"
#include "service/format/layout.h"

namespace chunkkv {

// Memory of one per-token tensor, as bytes. Does not own.
struct RowTarget {
  std::byte* data = nullptr;
  int32_t head_count = 0;
  int64_t head_bytes = 0;
  int64_t token_stride_bytes = 0;
  int64_t head_stride_bytes = 0;
};

// Dense [token_count, head_count, head size] and [head_count, token_count, head size].
RowTarget TokenMajorTarget(std::byte* data, const TensorSpec& spec);
RowTarget HeadMajorTarget(std::byte* data, const TensorSpec& spec, int64_t token_count);

// The same memory as a view for the compactor.
RowsView ViewOf(const RowTarget& target, const TensorSpec& spec, int64_t token_count);

using Pieces = std::vector<absl::Span<std::byte>>;

// Appends the places of rows [begin, end); neighbouring places become one piece.
void PlaceRows(const RowTarget& target, int64_t begin, int64_t end, bool head_major_part, Pieces& pieces);

// As PlaceRows, for a target that holds only the tokens in `positions` (ascending; row i is token positions[i]). Bytes
// of other tokens go to `sink`, which must hold the part; no two pieces share memory.
void PlaceKeptRows(const RowTarget& target, absl::Span<const int32_t> positions, int64_t begin, int64_t end,
                   bool head_major_part, absl::Span<std::byte> sink, Pieces& pieces);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_ROW_PLACEMENT_H_
