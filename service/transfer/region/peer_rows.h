// Where the rows of a tensor lie in the memory of somebody else: dense, or in the blocks of an engine's paged cache.
#ifndef CHUNKKV_SERVICE_TRANSFER_REGION_PEER_ROWS_H_
#define CHUNKKV_SERVICE_TRANSFER_REGION_PEER_ROWS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace chunkkv {

// Rows [0, row_count), each of head_count heads of head_bytes; all offsets and strides in bytes, from the memory's
// begin. Head h of row i is at
//   offset + i * token_stride + h * head_stride                                             where not paged, else at
//   offset + block_ids[s / block_tokens] * block_stride + (s % block_tokens) * token_stride + h * head_stride,
//   s = first_slot + i.
struct PeerRows {
  int64_t offset_bytes = 0;
  int64_t token_stride_bytes = 0;
  int64_t head_stride_bytes = 0;
  int32_t head_count = 0;
  int64_t head_bytes = 0;
  int64_t row_count = 0;

  int32_t block_tokens = 0;  // 0: not paged
  int64_t block_stride_bytes = 0;
  int32_t first_slot = 0;
  std::vector<int32_t> block_ids;

  bool IsPaged() const { return block_tokens > 0; }
  int64_t RowBytes() const { return head_count * head_bytes; }
  // Whether one row's heads, and neighbouring rows of one block, lie side by side.
  bool HasDenseHeads() const { return head_count == 1 || head_stride_bytes == head_bytes; }
  bool IsTokenMajor() const { return HasDenseHeads() && token_stride_bytes == RowBytes(); }
};

// Dense [row_count, head_count, head_bytes], or [head_count, row_count, head_bytes] where `head_major`, from `offset`.
PeerRows DensePeerRows(int64_t offset_bytes, int64_t row_count, int32_t head_count, int64_t head_bytes,
                       bool head_major);

// Whether every byte of every row lies within memory of `size_bytes`, and no two rows share one. Numbers may be any.
// Errors: INVALID_ARGUMENT: SLICE_OUT_OF_BOUNDS, STRIDES_OVERLAP, BAD_BLOCK_SIZE, BAD_BLOCK_IDS (negative, repeated, or
// too few for the rows; more than are needed may be there).
absl::Status CheckPeerRows(const PeerRows& rows, int64_t size_bytes);

// Rows [first, first + count), neighbours.
struct RowRun {
  int64_t first = 0;
  int64_t count = 0;
};

// `positions` (ascending) within [begin, end) as runs, counted from `begin`.
std::vector<RowRun> RunsOf(absl::Span<const int32_t> positions, int64_t begin, int64_t end);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_REGION_PEER_ROWS_H_
