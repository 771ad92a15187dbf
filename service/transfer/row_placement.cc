#include "service/transfer/row_placement.h"

#include <algorithm>

namespace chunkkv {
namespace {

void Append(std::byte* data, int64_t size_bytes, Pieces& pieces) {
  if (size_bytes == 0) return;
  const auto size = static_cast<size_t>(size_bytes);
  if (!pieces.empty() && pieces.back().data() + pieces.back().size() == data) {
    pieces.back() = {pieces.back().data(), pieces.back().size() + size};
  } else {
    pieces.push_back({data, size});
  }
}

// Calls place(token, head, count): `count` heads from `head` on of one token, in the order of the part's bytes.
template <typename Place>
void ForEachRow(int64_t begin, int64_t end, int32_t head_count, bool head_major_part, Place place) {
  if (!head_major_part) {
    for (int64_t token = begin; token < end; ++token) place(token, 0, head_count);
    return;
  }
  for (int32_t head = 0; head < head_count; ++head) {
    for (int64_t token = begin; token < end; ++token) place(token, head, 1);
  }
}

// Heads [head, head + count) of row `row`.
void AppendRow(const RowTarget& target, int64_t row, int32_t head, int32_t count, Pieces& pieces) {
  std::byte* const data = target.data + row * target.token_stride_bytes;
  if (target.head_stride_bytes == target.head_bytes) {
    Append(data + head * target.head_bytes, count * target.head_bytes, pieces);
    return;
  }
  for (int32_t h = head; h < head + count; ++h) Append(data + h * target.head_stride_bytes, target.head_bytes, pieces);
}

}  // namespace

RowTarget TokenMajorTarget(std::byte* data, const TensorSpec& spec) {
  const int64_t head_bytes = spec.head_bytes();
  return {data, spec.head_count, head_bytes, spec.head_count * head_bytes, head_bytes};
}

RowTarget HeadMajorTarget(std::byte* data, const TensorSpec& spec, int64_t token_count) {
  const int64_t head_bytes = spec.head_bytes();
  return {data, spec.head_count, head_bytes, head_bytes, token_count * head_bytes};
}

RowsView ViewOf(const RowTarget& target, const TensorSpec& spec, int64_t token_count) {
  RowsView view;
  view.data = target.data;
  view.dtype = spec.dtype;
  view.token_count = token_count;
  view.head_count = spec.head_count;
  view.head_size = spec.head_size;
  view.token_stride_bytes = target.token_stride_bytes;
  view.head_stride_bytes = target.head_stride_bytes;
  return view;
}

void PlaceRows(const RowTarget& target, int64_t begin, int64_t end, bool head_major_part, Pieces& pieces) {
  const int64_t row_bytes = target.head_count * target.head_bytes;
  const bool token_major = target.head_stride_bytes == target.head_bytes && target.token_stride_bytes == row_bytes;
  if (token_major && !head_major_part) {
    Append(target.data + begin * row_bytes, (end - begin) * row_bytes, pieces);
  } else if (head_major_part && target.token_stride_bytes == target.head_bytes) {
    for (int32_t head = 0; head < target.head_count; ++head) {
      Append(target.data + head * target.head_stride_bytes + begin * target.head_bytes,
             (end - begin) * target.head_bytes, pieces);
    }
  } else {
    ForEachRow(begin, end, target.head_count, head_major_part,
               [&](int64_t token, int32_t head, int32_t count) { AppendRow(target, token, head, count, pieces); });
  }
}

void PlaceKeptRows(const RowTarget& target, absl::Span<const int32_t> positions, int64_t begin, int64_t end,
                   bool head_major_part, absl::Span<std::byte> sink, Pieces& pieces) {
  const auto* const first = std::lower_bound(positions.begin(), positions.end(), begin);
  const auto* next = first;
  std::byte* dropped = sink.data();
  ForEachRow(begin, end, target.head_count, head_major_part, [&](int64_t token, int32_t head, int32_t count) {
    if (token == begin) next = first;  // a head begins
    if (next != positions.end() && *next == token) {
      AppendRow(target, next - positions.begin(), head, count, pieces);
      ++next;
    } else {
      Append(dropped, count * target.head_bytes, pieces);
      dropped += count * target.head_bytes;
    }
  });
}

}  // namespace chunkkv
