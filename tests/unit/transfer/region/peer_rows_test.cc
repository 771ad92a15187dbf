#include "service/transfer/region/peer_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <set>
#include <vector>

#include "chunkkv/kernels/status.h"

namespace chunkkv {
namespace {

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

// What CheckPeerRows says, found by looking at every byte of every row.
bool IsRight(const PeerRows& rows, int64_t size_bytes) {
  std::set<int64_t> seen;
  for (int64_t row = 0; row < rows.row_count; ++row) {
    for (int32_t head = 0; head < rows.head_count; ++head) {
      int64_t at = rows.offset_bytes + head * rows.head_stride_bytes;
      if (rows.IsPaged()) {
        const int64_t slot = rows.first_slot + row;
        at += rows.block_ids[slot / rows.block_tokens] * rows.block_stride_bytes +
              slot % rows.block_tokens * rows.token_stride_bytes;
      } else {
        at += row * rows.token_stride_bytes;
      }
      for (int64_t byte = at; byte < at + rows.head_bytes; ++byte) {
        if (byte < 0 || byte >= size_bytes || !seen.insert(byte).second) return false;
      }
    }
  }
  return true;
}

// Whatever is accepted lies within the memory, and shares no byte.
TEST(PeerRowsTest, AcceptsNothingThatLeavesTheMemoryOrOverlaps) {
  std::mt19937_64 random(3);
  const auto pick = [&](int64_t most) { return static_cast<int64_t>(random() % static_cast<uint64_t>(most)); };
  int accepted = 0;
  for (int round = 0; round < 200'000; ++round) {
    PeerRows rows;
    rows.head_count = 1 + static_cast<int32_t>(pick(3));
    rows.head_bytes = 1 + pick(4);
    rows.row_count = 1 + pick(6);
    rows.offset_bytes = pick(20) - 2;
    rows.head_stride_bytes = pick(40) - 1;
    rows.token_stride_bytes = pick(40) - 1;
    if (round % 2 == 0) {
      rows.block_tokens = 1 + static_cast<int32_t>(pick(4));
      rows.first_slot = static_cast<int32_t>(pick(5)) - 1;
      rows.block_stride_bytes = pick(80) - 1;
      rows.block_ids.resize(pick(8));
      for (int32_t& id : rows.block_ids) id = static_cast<int32_t>(pick(9)) - 1;
    }
    const int64_t size_bytes = 1 + pick(400);
    if (!CheckPeerRows(rows, size_bytes).ok()) continue;
    ++accepted;
    ASSERT_TRUE(IsRight(rows, size_bytes)) << round;
  }
  EXPECT_GT(accepted, 5000);
}

TEST(PeerRowsTest, RefusesNumbersThatWrap) {
  const PeerRows good = DensePeerRows(0, 4, 2, 8, false);
  EXPECT_TRUE(CheckPeerRows(good, 64).ok());
  EXPECT_EQ(StatusReason(CheckPeerRows(good, 63)), "SLICE_OUT_OF_BOUNDS");
  for (int64_t PeerRows::*field :
       {&PeerRows::offset_bytes, &PeerRows::token_stride_bytes, &PeerRows::head_stride_bytes}) {
    for (const int64_t value : {kHuge, kHuge / 3, kHuge / 2 + 1, std::numeric_limits<int64_t>::min(), int64_t{-1}}) {
      PeerRows rows = good;
      rows.*field = value;
      EXPECT_FALSE(CheckPeerRows(rows, int64_t{1} << 40).ok()) << value;
    }
  }
}

TEST(PeerRowsTest, AcceptsTheCachesOfEngines) {
  // vLLM's [2, blocks, slots, heads, size] and [blocks, 2, ...] with bf16 heads of 128, HND, and SGLang's slots.
  PeerRows rows;
  rows.head_count = 8;
  rows.head_bytes = 256;
  rows.row_count = 33;
  rows.block_tokens = 16;
  rows.block_ids = {7, 0, 3};
  rows.token_stride_bytes = 2048;
  rows.head_stride_bytes = 256;
  rows.block_stride_bytes = 16 * 2048;
  EXPECT_TRUE(CheckPeerRows(rows, 8 * 16 * 2048).ok());
  rows.block_stride_bytes *= 2;
  rows.offset_bytes = 16 * 2048;
  EXPECT_TRUE(CheckPeerRows(rows, 16 * 16 * 2048).ok());
  rows.token_stride_bytes = 256;
  rows.head_stride_bytes = 16 * 256;
  EXPECT_TRUE(CheckPeerRows(rows, 16 * 16 * 2048).ok());
  rows = PeerRows();
  rows.head_count = 8;
  rows.head_bytes = 256;
  rows.row_count = 3;
  rows.block_tokens = 1;
  rows.block_ids = {9, 2, 5};
  rows.block_stride_bytes = 2048;
  rows.head_stride_bytes = 256;
  EXPECT_TRUE(CheckPeerRows(rows, 10 * 2048).ok());
}

TEST(RunsTest, JoinsNeighboursWithinTheRange) {
  const std::vector<int32_t> positions = {0, 1, 4, 5, 6, 9, 12};
  const std::vector<RowRun> runs = RunsOf(positions, 1, 10);
  ASSERT_EQ(runs.size(), 3u);
  EXPECT_EQ(runs[0].first, 0);
  EXPECT_EQ(runs[0].count, 1);
  EXPECT_EQ(runs[1].first, 3);
  EXPECT_EQ(runs[1].count, 3);
  EXPECT_EQ(runs[2].first, 8);
  EXPECT_EQ(runs[2].count, 1);
  EXPECT_TRUE(RunsOf(positions, 7, 9).empty());
}

}  // namespace
}  // namespace chunkkv
