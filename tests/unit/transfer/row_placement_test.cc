#include "service/transfer/row_placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>

namespace chunkkv {
namespace {

using Bytes = std::vector<std::byte>;

TensorSpec Spec(int32_t heads, int32_t head_size) {
  TensorSpec spec;
  spec.dtype = DType::kF16;
  spec.head_count = heads;
  spec.head_size = head_size;
  spec.row_bytes = int64_t{heads} * head_size * 2;
  return spec;
}

// A byte that tells token, head and place within the head apart.
std::byte Value(int64_t token, int32_t head, int64_t at) { return static_cast<std::byte>(token * 31 + head * 7 + at); }

Bytes Part(const TensorSpec& spec, int64_t begin, int64_t end, bool head_major) {
  Bytes part;
  const int64_t head_bytes = spec.row_bytes / spec.head_count;
  const auto append = [&](int64_t token, int32_t head) {
    for (int64_t at = 0; at < head_bytes; ++at) part.push_back(Value(token, head, at));
  };
  if (head_major) {
    for (int32_t head = 0; head < spec.head_count; ++head) {
      for (int64_t token = begin; token < end; ++token) append(token, head);
    }
  } else {
    for (int64_t token = begin; token < end; ++token) {
      for (int32_t head = 0; head < spec.head_count; ++head) append(token, head);
    }
  }
  return part;
}

void Fill(const Pieces& pieces, const Bytes& part) {
  size_t at = 0;
  for (const absl::Span<std::byte> piece : pieces) {
    ASSERT_LE(at + piece.size(), part.size());
    std::memcpy(piece.data(), part.data() + at, piece.size());
    at += piece.size();
  }
  ASSERT_EQ(at, part.size());
}

TEST(RowPlacementTest, PlacesEveryLayoutInEveryOther) {
  constexpr int64_t kTokens = 11;
  for (const int32_t heads : {1, 2, 3, 7}) {
    for (const bool target_head_major : {false, true}) {
      for (const bool part_head_major : {false, true}) {
        const TensorSpec spec = Spec(heads, 3);
        Bytes memory(kTokens * spec.row_bytes);
        const RowTarget target =
            target_head_major ? HeadMajorTarget(memory.data(), spec, kTokens) : TokenMajorTarget(memory.data(), spec);
        for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 1}, {1, 4}, {4, 11}}) {
          Pieces pieces;
          PlaceRows(target, begin, end, part_head_major, pieces);
          Fill(pieces, Part(spec, begin, end, part_head_major));
        }
        EXPECT_EQ(memory, Part(spec, 0, kTokens, target_head_major)) << heads << target_head_major << part_head_major;
      }
    }
  }
}

TEST(RowPlacementTest, NeedsOnePieceWhereLayoutsAgree) {
  const TensorSpec spec = Spec(4, 8);
  Bytes memory(100 * spec.row_bytes);
  Pieces pieces;
  PlaceRows(TokenMajorTarget(memory.data(), spec), 10, 60, false, pieces);
  EXPECT_EQ(pieces.size(), 1u);
  pieces.clear();
  PlaceRows(HeadMajorTarget(memory.data(), spec, 100), 10, 60, true, pieces);
  EXPECT_EQ(pieces.size(), 4u);
}

TEST(RowPlacementTest, PlacesOnlyKeptRowsAndTheRestInTheSink) {
  const std::vector<int32_t> lists[] = {
      {}, {0}, {10}, {0, 1, 2, 5, 9, 10}, {3, 4, 5}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}};
  for (const std::vector<int32_t>& positions : lists) {
    for (const int32_t heads : {1, 3}) {
      for (const bool head_major : {false, true}) {
        const TensorSpec spec = Spec(heads, 2);
        Bytes memory(positions.size() * spec.row_bytes);
        for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 4}, {4, 5}, {5, 11}}) {
          Bytes sink((end - begin) * spec.row_bytes);
          Pieces pieces;
          PlaceKeptRows(TokenMajorTarget(memory.data(), spec), positions, begin, end, head_major, absl::MakeSpan(sink),
                        pieces);
          Fill(pieces, Part(spec, begin, end, head_major));
          Pieces sorted = pieces;
          std::sort(sorted.begin(), sorted.end(), [](auto& a, auto& b) { return a.data() < b.data(); });
          for (size_t i = 1; i < sorted.size(); ++i) {
            EXPECT_LE(sorted[i - 1].data() + sorted[i - 1].size(), sorted[i].data());
          }
        }
        Bytes expected;
        for (const int32_t position : positions) {
          const Bytes row = Part(spec, position, position + 1, false);
          expected.insert(expected.end(), row.begin(), row.end());
        }
        EXPECT_EQ(memory, expected);
      }
    }
  }
}

}  // namespace
}  // namespace chunkkv
