#include "service/transfer/region/peer_rows.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"

namespace chunkkv {
namespace {

// A sum of four products of 64-bit numbers needs no more.
using Wide = __int128;

absl::Status CheckBlocks(const PeerRows& rows) {
  if (rows.first_slot < 0 || rows.first_slot >= rows.block_tokens) {
    return InvalidArgument("BAD_BLOCK_SIZE", absl::StrCat("pages.first_slot ", rows.first_slot, " is outside of ",
                                                          "a block of ", rows.block_tokens, " slots"));
  }
  const Wide slots = Wide{rows.first_slot} + rows.row_count;
  const Wide needed = (slots + rows.block_tokens - 1) / rows.block_tokens;
  if (rows.block_ids.empty() || static_cast<Wide>(rows.block_ids.size()) < needed) {
    return InvalidArgument("BAD_BLOCK_IDS", absl::StrCat("pages.block_ids: ", rows.block_ids.size(),
                                                         " ids do not hold ", rows.row_count, " rows"));
  }
  std::vector<int32_t> sorted = rows.block_ids;
  std::sort(sorted.begin(), sorted.end());
  if (!sorted.empty() && sorted.front() < 0) {
    return InvalidArgument("BAD_BLOCK_IDS", absl::StrCat("pages.block_ids: ", sorted.front(), " is negative"));
  }
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
    return InvalidArgument("BAD_BLOCK_IDS", "pages.block_ids: a block comes twice");
  }
  return absl::OkStatus();
}

// Rows share no byte where each dimension's stride spans all that lies within it.
absl::Status CheckStrides(const PeerRows& rows) {
  struct Dimension {
    Wide stride;
    Wide count;
  };
  const int64_t tokens = rows.IsPaged() ? rows.block_tokens : rows.row_count;
  // Ids may leave blocks out: the blocks span what lies between the first and the last one.
  Wide blocks = 1;
  if (rows.IsPaged()) {
    const auto [first, last] = std::minmax_element(rows.block_ids.begin(), rows.block_ids.end());
    blocks = Wide{*last} - *first + 1;
  }
  std::array<Dimension, 3> dimensions = {Dimension{rows.token_stride_bytes, tokens},
                                         Dimension{rows.head_stride_bytes, rows.head_count},
                                         Dimension{rows.block_stride_bytes, blocks}};
  std::sort(dimensions.begin(), dimensions.end(),
            [](const Dimension& a, const Dimension& b) { return a.stride < b.stride; });
  Wide span = rows.head_bytes;
  for (const Dimension& dimension : dimensions) {
    if (dimension.count <= 1) continue;
    if (dimension.stride < span) {
      return InvalidArgument("STRIDES_OVERLAP", "region: by these strides, rows would share bytes");
    }
    span += dimension.stride * (dimension.count - 1);
  }
  return absl::OkStatus();
}

}  // namespace

PeerRows DensePeerRows(int64_t offset_bytes, int64_t row_count, int32_t head_count, int64_t head_bytes,
                       bool head_major) {
  PeerRows rows;
  rows.offset_bytes = offset_bytes;
  rows.head_count = head_count;
  rows.head_bytes = head_bytes;
  rows.row_count = row_count;
  rows.token_stride_bytes = head_major ? head_bytes : head_count * head_bytes;
  rows.head_stride_bytes = head_major ? row_count * head_bytes : head_bytes;
  return rows;
}

absl::Status CheckPeerRows(const PeerRows& rows, int64_t size_bytes) {
  if (rows.offset_bytes < 0 || rows.token_stride_bytes < 0 || rows.head_stride_bytes < 0 ||
      rows.block_stride_bytes < 0) {
    return InvalidArgument("SLICE_OUT_OF_BOUNDS", "region: an offset or stride is negative");
  }
  Wide last_block = 0;
  Wide last_slot = rows.row_count - 1;
  if (rows.IsPaged()) {
    CHUNKKV_RETURN_IF_ERROR(CheckBlocks(rows));
    last_block = *std::max_element(rows.block_ids.begin(), rows.block_ids.end());
    // Of a row in the last block the slot may be lower; no engine's cache ends in the middle of a block.
    last_slot = rows.block_tokens - 1;
  } else if (rows.block_tokens < 0) {
    return InvalidArgument("BAD_BLOCK_SIZE", absl::StrCat("pages.block_size ", rows.block_tokens));
  }
  CHUNKKV_RETURN_IF_ERROR(CheckStrides(rows));
  const Wide end = Wide{rows.offset_bytes} + last_block * rows.block_stride_bytes +
                   last_slot * rows.token_stride_bytes + Wide{rows.head_count - 1} * rows.head_stride_bytes +
                   rows.head_bytes;
  if (end > size_bytes) {
    return InvalidArgument("SLICE_OUT_OF_BOUNDS",
                           absl::StrCat("region: the slice reaches past the end of ", size_bytes, " bytes"));
  }
  return absl::OkStatus();
}

std::vector<RowRun> RunsOf(absl::Span<const int32_t> positions, int64_t begin, int64_t end) {
  std::vector<RowRun> runs;
  const auto* const last = std::lower_bound(positions.begin(), positions.end(), end);
  for (const auto* at = std::lower_bound(positions.begin(), positions.end(), begin); at != last; ++at) {
    const int64_t row = *at - begin;
    if (!runs.empty() && runs.back().first + runs.back().count == row) {
      ++runs.back().count;
    } else {
      runs.push_back({row, 1});
    }
  }
  return runs;
}

}  // namespace chunkkv
