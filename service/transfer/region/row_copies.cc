#include "service/transfer/region/row_copies.h"

#include <algorithm>
#include <cstring>

namespace chunkkv {
namespace {

struct Strides {
  int64_t token = 0;
  int64_t head = 0;
};

// [rows, heads] pieces of head_bytes, each side with strides of its own.
void CopyRows(const std::byte* from, Strides from_strides, std::byte* to, Strides to_strides, int64_t rows,
              int32_t heads, int64_t head_bytes) {
  const int64_t row_bytes = heads * head_bytes;
  const bool dense_heads = (heads == 1 || (from_strides.head == head_bytes && to_strides.head == head_bytes));
  if (dense_heads && from_strides.token == row_bytes && to_strides.token == row_bytes) {
    std::memcpy(to, from, rows * row_bytes);
  } else if (dense_heads) {
    for (int64_t row = 0; row < rows; ++row) {
      std::memcpy(to + row * to_strides.token, from + row * from_strides.token, row_bytes);
    }
  } else if (from_strides.token == head_bytes && to_strides.token == head_bytes) {
    for (int32_t head = 0; head < heads; ++head) {
      std::memcpy(to + head * to_strides.head, from + head * from_strides.head, rows * head_bytes);
    }
  } else {
    for (int64_t row = 0; row < rows; ++row) {
      for (int32_t head = 0; head < heads; ++head) {
        std::memcpy(to + row * to_strides.token + head * to_strides.head,
                    from + row * from_strides.token + head * from_strides.head, head_bytes);
      }
    }
  }
}

// Calls copy(offset, first, count) for each stretch of `run` that lies in one block: `offset` is that of its first row
// in the peer's memory, `first` counts from the run's begin.
template <typename Copy>
void ForEachBlock(const PeerRows& rows, const RowRun& run, Copy copy) {
  if (!rows.IsPaged()) return copy(rows.offset_bytes + run.first * rows.token_stride_bytes, int64_t{0}, run.count);
  for (int64_t done = 0; done < run.count;) {
    const int64_t slot = rows.first_slot + run.first + done;
    const int64_t in_block = slot % rows.block_tokens;
    const int64_t count = std::min(run.count - done, rows.block_tokens - in_block);
    const int64_t block = rows.block_ids.data()[slot / rows.block_tokens];
    copy(rows.offset_bytes + block * rows.block_stride_bytes + in_block * rows.token_stride_bytes, done, count);
    done += count;
  }
}

}  // namespace

RowRun RunCursor::Take(int64_t rows) {
  const RowRun run = {next_->first + taken_, std::min(rows, next_->count - taken_)};
  taken_ += run.count;
  if (taken_ == next_->count) {
    ++next_;
    taken_ = 0;
  }
  return run;
}

void CopyFromPeer(const std::byte* memory, const PeerRows& from, const RowRun& run, const RowTarget& to,
                  int64_t first_row) {
  ForEachBlock(from, run, [&](int64_t offset, int64_t first, int64_t count) {
    CopyRows(memory + offset, {from.token_stride_bytes, from.head_stride_bytes},
             to.data + (first_row + first) * to.token_stride_bytes, {to.token_stride_bytes, to.head_stride_bytes},
             count, from.head_count, from.head_bytes);
  });
}

void CopyToPeer(const std::byte* from, const PeerRows& to, const RowRun& run, std::byte* memory) {
  const int64_t row_bytes = to.RowBytes();
  ForEachBlock(to, run, [&](int64_t offset, int64_t first, int64_t count) {
    CopyRows(from + first * row_bytes, {row_bytes, to.head_bytes}, memory + offset,
             {to.token_stride_bytes, to.head_stride_bytes}, count, to.head_count, to.head_bytes);
  });
}

}  // namespace chunkkv
