#include "kernels/cpu/scatter_rows.h"

#include <cstdint>

#include "kernels/common/row_address.h"
#include "kernels/cpu/copy_bytes.h"
#include "kernels/cpu/row_runs.h"

namespace chunkkv::cpu {
namespace {

constexpr int64_t kLineBytes = 64;

// Whether every piece that is copied fills whole cache lines; streaming stores of parts of them cost more than they
// save.
bool FillsLines(const MutableRowsView& rows, const RowExtent& extent) {
  const int64_t piece_bytes = extent.heads_are_dense ? extent.row_bytes : extent.head_bytes;
  const int64_t head_stride = extent.heads_are_dense ? 0 : rows.head_stride_bytes;
  const int64_t block_stride = rows.IsPaged() ? rows.block_stride_bytes : 0;
  const auto address = static_cast<int64_t>(reinterpret_cast<uintptr_t>(rows.data) % kLineBytes);
  return (address | piece_bytes | head_stride | rows.token_stride_bytes | block_stride) % kLineBytes == 0;
}

// Copies `tokens` dense tokens to `to` on, where heads lie apart. In the source's order: it is read as one stream.
void CopyToHeads(const std::byte* source, int64_t tokens, const MutableRowsView& destination, const RowExtent& extent,
                 std::byte* to, CopyFunction copy) {
  for (int64_t token = 0; token < tokens; ++token, to += destination.token_stride_bytes) {
    std::byte* head = to;
    for (int32_t h = 0; h < destination.head_count; ++h, head += destination.head_stride_bytes) {
      copy(source, extent.head_bytes, head);
      source += extent.head_bytes;
    }
  }
}

}  // namespace

bool ScatterRows(const std::byte* source, absl::Span<const int32_t> positions, const MutableRowsView& destination,
                 bool past_caches) {
  if (!HaveRows(destination, positions)) return false;
  const RowExtent extent(destination);
  if (extent.row_bytes == 0) return true;
  const bool is_streamed = past_caches && FillsLines(destination, extent);
  const CopyFunction copy = CopyBytes(is_streamed);
  for (size_t n = 0; n < positions.size();) {
    const size_t run = RunLength(destination, extent, positions, n);
    std::byte* to = RowAddress(destination, positions[n]);
    if (extent.heads_are_dense) {
      copy(source, extent.row_bytes * run, to);
    } else {
      CopyToHeads(source, static_cast<int64_t>(run), destination, extent, to, copy);
    }
    source += extent.row_bytes * run;
    n += run;
  }
  if (is_streamed) FlushCopies();
  return true;
}

}  // namespace chunkkv::cpu
