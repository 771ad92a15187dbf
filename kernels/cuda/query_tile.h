#ifndef CHUNKKV_KERNELS_CUDA_QUERY_TILE_H_
#define CHUNKKV_KERNELS_CUDA_QUERY_TILE_H_

#include "kernels/cuda/mma_tile.h"
#include "kernels/cuda/score_params.h"

namespace chunkkv::cuda {

// Rows of queries in shared memory, in the order of operand A: of 16 rows and half a step, lane 4g + q's 16 bytes are
// words 2 * half and 2 * half + 1 of row g's unit q and of row g + 8's. A warp's load is 512 bytes in a row.
template <typename Element, int kSteps>
struct QueryTile {
  using Tile = MmaTile<Element, kSteps>;
  static constexpr int kRowsAtOnce = 16;
  static constexpr CHUNKKV_HOST_DEVICE size_t Bytes(int row_count) {
    return static_cast<size_t>(row_count) * Tile::kUnits * 16;
  }

  // Rows [first_row, first_row + row_count) of the item's KV head, zeros where there is none, by all `threads` threads
  // of the block. Returns false where what this thread read is not finite.
  CHUNKKV_DEVICE static bool Stage(const ScoreParams& params, const ScoreItem& item, int first_row, int row_count,
                                   int threads, std::byte* shared) {
    const std::byte* queries = params.layers[item.layer].queries;
    bool is_finite = true;
    for (int at = simt::ThreadIndex(); at < row_count * Tile::kUnits; at += threads) {
      const int row = at / Tile::kUnits;
      const int unit = at % Tile::kUnits;
      simt::Words4 words = {};
      if (first_row + row < RowCount(params) && unit * 8 < params.head_size) {
        const int64_t element = QueryOf(params, item.kv_head, first_row + row) * params.head_size + unit * 8;
        words = simt::Load(reinterpret_cast<const simt::Words4*>(queries + element * sizeof(Element)));
        is_finite = is_finite && Tile::IsFinite(words);
      }
      CHUNKKV_UNROLL for (int word = 0; word < 4; ++word) {
        const int lane = row % 8 * 4 + unit % 4;
        const int in_lane = word % 2 * 2 + row % kRowsAtOnce / 8;
        reinterpret_cast<uint32_t*>(LaneAddress(shared, row, unit / 4, word / 2, lane))[in_lane] = words.word[word];
      }
    }
    return is_finite;
  }

  // This lane's part of rows [row, row + 16), row a multiple of 16.
  CHUNKKV_DEVICE static simt::Words4 Load(std::byte* shared, int row, int step, int half) {
    return *reinterpret_cast<const simt::Words4*>(LaneAddress(shared, row, step, half, simt::Lane()));
  }

 private:
  CHUNKKV_DEVICE static std::byte* LaneAddress(std::byte* shared, int row, int step, int half, int lane) {
    return shared + (((row / kRowsAtOnce * kSteps + step) * 2 + half) * simt::kWarpSize + lane) * 16;
  }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_QUERY_TILE_H_
