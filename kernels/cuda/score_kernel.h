// Token scores where the denominators of the softmaxes are known: one pass over the keys, on tensor cores.
#ifndef CHUNKKV_KERNELS_CUDA_SCORE_KERNEL_H_
#define CHUNKKV_KERNELS_CUDA_SCORE_KERNEL_H_

#include "kernels/cuda/query_tile.h"

namespace chunkkv::cuda {

// partial_scores[kv_head, piece, j] = sum over the piece's rows of 2^(logit - lse), for j in [0, P).
// Keys go straight from global memory into registers, each used for all rows of the piece, whose queries are in shared
// memory. A lane's products are of few tokens and all rows: sums over rows stay in registers, and are added up over
// lanes once a tile.
// kSteps: steps of 32 dimensions; head_size <= 32 * kSteps, a multiple of 8; all addresses and strides of 16 bytes.
// Keys are stored as Key: Element, or fp8 with scales, aligned to 8 bytes then. kHasCap: logits have a soft cap.
template <typename Element, int kSteps, typename Key, bool kHasCap>
struct ScoreKernel {
  using Params = ScoreParams;
  using Tile = MmaTile<Element, kSteps>;
  using Queries = QueryTile<Element, kSteps>;
  static constexpr bool kHasScales = !std::is_same_v<Element, Key>;
  static constexpr int kWarps = 4;
  static constexpr int kThreads = kWarps * simt::kWarpSize;
  static constexpr int kMinBlocksPerSm = kSteps <= 4 && !kHasScales && !kHasCap ? 4 : 3;
  static constexpr int kFragments = 2 * FragmentsOf(kSteps);  // of 8 tokens, that a warp holds at once
  static constexpr int kTileTokens = ScoreTileTokens(kSteps);
  static constexpr int kRowsAtOnce = Queries::kRowsAtOnce;
  static_assert(kTileTokens == kWarps * 8 * kFragments);

  // params.piece_rows is a multiple of kRowsAtOnce.
  static size_t SharedBytes(const Params& params) {
    return Queries::Bytes(params.piece_rows) + params.piece_rows * (sizeof(float) + sizeof(int32_t));
  }

  struct Shared {
    CHUNKKV_DEVICE explicit Shared(int piece_rows)
        : queries(simt::SharedMemory()),
          lse(reinterpret_cast<float*>(queries + Queries::Bytes(piece_rows))),
          visible_end(reinterpret_cast<int32_t*>(lse + piece_rows)) {}
    std::byte* queries;
    float* lse;            // [piece_rows]
    int32_t* visible_end;  // [piece_rows]
  };

  CHUNKKV_DEVICE static void Run(const Params& params) {
    const uint32_t count = ItemCount(params);
    for (uint32_t index = simt::BlockIndex(); index < count; index += simt::BlockCount()) {
      const ScoreItem item = ItemAt(params, index);
      StageRows(params, item);
      simt::SyncBlock();
      const int32_t begin = item.run * params.run_tokens;
      const auto token_count = static_cast<int32_t>(params.token_count);
      const int32_t end = begin + params.run_tokens < token_count ? begin + params.run_tokens : token_count;
      for (int32_t tile = begin; tile < end; tile += kTileTokens) ScoreTile(params, item, tile);
      simt::SyncBlock();
    }
  }

 private:
  CHUNKKV_DEVICE static void StageRows(const Params& params, const ScoreItem& item) {
    const Shared shared(params.piece_rows);
    const ScoreLayer& layer = params.layers[item.layer];
    const int32_t first_row = item.piece * params.piece_rows;
    bool is_finite = Queries::Stage(params, item, first_row, params.piece_rows, kThreads, shared.queries);
    for (int row = simt::ThreadIndex(); row < params.piece_rows; row += kThreads) {
      // Rows of padding add 2^-1e30 to scores, and see no key of the window.
      float lse = 1e30f;
      int64_t visible_end = 0;
      if (first_row + row < RowCount(params)) {
        lse = simt::Load(layer.lse + QueryOf(params, item.kv_head, first_row + row)) * params.lse_factor;
        is_finite = is_finite && lse * 0.0f == 0.0f;
        visible_end = VisibleEnd(params, first_row + row);
      }
      shared.lse[row] = lse;
      shared.visible_end[row] = static_cast<int32_t>(visible_end);
    }
    Report(params, layer, 0, {.non_finite = !is_finite});
  }

  CHUNKKV_DEVICE static void ScoreTile(const Params& params, const ScoreItem& item, int32_t tile) {
    const ScoreLayer& layer = params.layers[item.layer];
    const int32_t of_warp = tile + simt::Warp() * 8 * kFragments;
    Findings found;
    typename Tile::Rows keys[kFragments];
    CHUNKKV_UNROLL for (int f = 0; f < kFragments; ++f) {
      const int32_t token = of_warp + f * 8 + simt::Lane() / 4;
      const std::byte* row = nullptr;
      if (token < params.token_count) {
        row = RowAddress(layer.keys, token);
        found.bad_block = found.bad_block || row == nullptr;
        if (row != nullptr) row += item.kv_head * layer.keys.head_stride_bytes;
      }
      keys[f].template LoadFrom<Key>(row, params.head_size);
    }
    const int32_t first = of_warp + simt::Lane() % 4 * 2;  // token of this lane's products 0
    float scales[kFragments * 2];
    if constexpr (kHasScales) {
      CHUNKKV_UNROLL for (int i = 0; i < kFragments * 2; ++i) {
        const int32_t token = first + i / 2 * 8 + i % 2;
        scales[i] = token < params.token_count ? KeyScale(layer, item.kv_head, token, found) : 1.0f;
      }
    }
    Report(params, layer, tile, found);
    float sums[kFragments * 2] = {};
    float check = 0;
    if (tile + kTileTokens > params.past_length) {
      AddRows<true>(params, first, keys, scales, sums, check);
    } else {
      AddRows<false>(params, first, keys, scales, sums, check);
    }
    Report(params, layer, tile, {.non_finite = !(check == 0)});
    float* scores =
        layer.partial_scores + (int64_t{item.kv_head} * params.piece_count + item.piece) * params.past_length;
    StoreSums(params, of_warp, sums, scores);
  }

  // kInWindow: some tokens of the tile may be in the window or past the end, where not every row sees them.
  template <bool kInWindow>
  CHUNKKV_DEVICE static void AddRows(const Params& params, int32_t first, const typename Tile::Rows (&keys)[kFragments],
                                     const float (&scales)[kFragments * 2], float (&sums)[kFragments * 2],
                                     float& check) {
    const Shared shared(params.piece_rows);
    for (int row = 0; row < params.piece_rows; row += kRowsAtOnce) {
      float products[kFragments][4] = {};
      CHUNKKV_UNROLL for (int step = 0; step < kSteps; ++step) {
        CHUNKKV_UNROLL for (int half = 0; half < 2; ++half) {
          const simt::Words4 queries = Queries::Load(shared.queries, row, step, half);
          CHUNKKV_UNROLL for (int f = 0; f < kFragments; ++f) {
            Tile::Multiply(queries, keys[f].words[step], half, products[f]);
          }
        }
      }
      CHUNKKV_UNROLL for (int upper = 0; upper < 2; ++upper) {
        const int of_lane = row + upper * 8 + simt::Lane() / 4;
        const float lse = shared.lse[of_lane];
        const int32_t visible_end = kInWindow ? shared.visible_end[of_lane] : 0;
        CHUNKKV_UNROLL for (int i = 0; i < kFragments * 2; ++i) {
          float product = products[i / 2][upper * 2 + i % 2];
          if constexpr (kHasScales) product *= scales[i];
          if constexpr (kInWindow) {
            const int32_t token = first + i / 2 * 8 + i % 2;
            product = token < params.past_length || token < visible_end ? product : 0;
          }
          sums[i] += simt::Exp2(LogitMinus<kHasCap>(params, product, lse, check));
        }
      }
    }
  }

  // Adds the lanes' sums up, so that each holds what one of the warp's tokens has: half of the values go to the lane
  // that keeps them, three times.
  CHUNKKV_DEVICE static void StoreSums(const Params& params, int32_t of_warp, float (&sums)[kFragments * 2],
                                       float* scores) {
    int kept = 0;  // of the values, the one that this lane ends with
    CHUNKKV_UNROLL for (int mask = 16, count = kFragments; count > 0; mask /= 2, count /= 2) {
      const bool keeps_upper = (simt::Lane() & mask) != 0;
      CHUNKKV_UNROLL for (int i = 0; i < count; ++i) {
        const float sent = keeps_upper ? sums[i] : sums[i + count];
        const float own = keeps_upper ? sums[i + count] : sums[i];
        sums[i] = own + simt::ShuffleXor(sent, mask);
      }
      kept += keeps_upper ? count : 0;
    }
    if constexpr (kFragments == 2) sums[0] += simt::ShuffleXor(sums[0], 4);
    const bool stores = kFragments == 4 || (simt::Lane() & 4) == 0;
    const int32_t token = of_warp + kept / 2 * 8 + simt::Lane() % 4 * 2 + kept % 2;
    if (stores && token < params.past_length) simt::Store(scores + token, sums[0]);
  }
};

template <typename Element, int kSteps, typename Key>
using UncappedScoreKernel = ScoreKernel<Element, kSteps, Key, false>;
template <typename Element, int kSteps, typename Key>
using CappedScoreKernel = ScoreKernel<Element, kSteps, Key, true>;

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_SCORE_KERNEL_H_
