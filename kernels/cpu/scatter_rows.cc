#include "kernels/cpu/scatter_rows.h"

#include <algorithm>

#include "kernels/common/row_address.h"
#include "kernels/cpu/copy_bytes.h"
#include "kernels/cpu/row_runs.h"

namespace chunkkv::cpu {
namespace {

constexpr int64_t kLineBytes = 64;
constexpr int64_t kTileBytes = 16 << 10;  // of the source, read once per head: half a first-level cache

// Whether every piece that is copied fills whole cache lines; streaming stores of parts of them cost more than they
// save.
bool FillsLines(const MutableRowsView& rows, const RowExtent& extent) {
  const int64_t piece_bytes = extent.heads_are_dense ? extent.row_bytes : extent.head_bytes;
  const int64_t head_stride = extent.heads_are_dense ? 0 : rows.head_stride_bytes;
  const int64_t block_stride = rows.IsPaged() ? rows.block_stride_bytes : 0;
  const auto address = static_cast<int64_t>(reinterpret_cast<uintptr_t>(rows.data) % kLineBytes);
  return (address | piece_bytes | head_stride | rows.token_stride_bytes | block_stride) % kLineBytes == 0;
}

// Copies `tokens` dense tokens to `to` on, where heads lie apart. Head by head: in head-major rows, or blocks, a head's
// tokens follow each other.
void CopyToHeads(const std::byte* source, int64_t tokens, const MutableRowsView& destination, const RowExtent& extent,
                 std::byte* to, CopyFunction copy) {
  const int64_t tile_tokens = std::max<int64_t>(1, kTileBytes / extent.row_bytes);
  for (int64_t begin = 0; begin < tokens; begin += tile_tokens) {
    const int64_t end = std::min(begin + tile_tokens, tokens);
    for (int64_t head = 0; head < destination.head_count; ++head) {
      for (int64_t token = begin; token < end; ++token) {
        copy(source + token * extent.row_bytes + head * extent.head_bytes, extent.head_bytes,
             to + token * destination.token_stride_bytes + head * destination.head_stride_bytes);
      }
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
