// Token scores where the denominators of the softmaxes are known: one pass over the keys, on tensor cores.
#ifndef CHUNKKV_KERNELS_CUDA_SCORE_KERNEL_H_
#define CHUNKKV_KERNELS_CUDA_SCORE_KERNEL_H_

#include "kernels/cuda/mma_tile.h"
#include "kernels/cuda/score_params.h"

namespace chunkkv::cuda {

// partial_scores[kv_head, piece, j] = sum over the piece's rows of 2^(logit - lse), for j in [0, P).
// Keys are the products' A operand, straight from global memory into registers, each used for all rows of the piece;
// queries are B, in shared memory. A token's sum over rows then stays in the lanes of one quad.
// kSteps: steps of 32 dimensions; head_size <= 32 * kSteps, a multiple of 8; all addresses and strides of 16 bytes.
// Keys are stored as Key: Element, or fp8 with scales, aligned to 8 bytes then.
template <typename Element, int kSteps, typename Key = Element>
struct ScoreKernel {
  using Params = ScoreParams;
  using Tile = MmaTile<Element, kSteps>;
  static constexpr bool kHasScales = !std::is_same_v<Element, Key>;
  static constexpr int kWarps = 4;
  static constexpr int kThreads = kWarps * simt::kWarpSize;
  static constexpr int kMinBlocksPerSm = kSteps <= 4 && !kHasScales ? 4 : 3;
  static constexpr int kFragments = FragmentsOf(kSteps);  // of 16 tokens, that a warp holds at once
  static constexpr int kTileTokens = ScoreTileTokens(kSteps);
  static constexpr int kRowsAtOnce = kScoreRowsAtOnce;

  // params.piece_rows is a multiple of kRowsAtOnce.
  static size_t SharedBytes(const Params& params) {
    return static_cast<size_t>(params.piece_rows) * (Tile::kRowBytes + sizeof(float) + sizeof(int32_t));
  }

  struct Shared {
    CHUNKKV_DEVICE explicit Shared(int piece_rows)
        : queries(simt::SharedMemory()),
          lse(reinterpret_cast<float*>(queries + piece_rows * Tile::kRowBytes)),
          visible_end(reinterpret_cast<int32_t*>(lse + piece_rows)) {}
    std::byte* queries;    // [piece_rows] of kRowBytes
    float* lse;            // [piece_rows]
    int32_t* visible_end;  // [piece_rows]
  };

  CHUNKKV_DEVICE static void Run(const Params& params) {
    const int64_t count = ItemCount(params);
    for (int64_t index = simt::BlockIndex(); index < count; index += simt::BlockCount()) {
      const ScoreItem item = ItemAt(params, index);
      StageQueries(params, item);
      simt::SyncBlock();
      const int64_t begin = int64_t{item.run} * params.run_tokens;
      const int64_t end =
          begin + params.run_tokens < params.token_count ? begin + params.run_tokens : params.token_count;
      for (int64_t tile = begin; tile < end; tile += kTileTokens) ScoreTile(params, item, tile);
      simt::SyncBlock();
    }
  }

 private:
  CHUNKKV_DEVICE static void StageQueries(const Params& params, const ScoreItem& item) {
    const Shared shared(params.piece_rows);
    const ScoreLayer& layer = params.layers[item.layer];
    bool is_finite = true;
    for (int unit = simt::ThreadIndex(); unit < params.piece_rows * Tile::kUnits; unit += kThreads) {
      const int row = unit / Tile::kUnits;
      const int32_t piece_row = item.piece * params.piece_rows + row;
      const int column = unit % Tile::kUnits * 8;
      simt::Words4 words = {};
      if (piece_row < RowCount(params) && column < params.head_size) {
        const int64_t element = QueryOf(params, item.kv_head, piece_row) * params.head_size + column;
        words = simt::Load(reinterpret_cast<const simt::Words4*>(layer.queries + element * sizeof(Element)));
        is_finite = is_finite && Tile::IsFinite(words);
      }
      Tile::StoreUnit(shared.queries, row, unit % Tile::kUnits, words);
    }
    for (int row = simt::ThreadIndex(); row < params.piece_rows; row += kThreads) {
      const int32_t piece_row = item.piece * params.piece_rows + row;
      // Rows of padding add 2^-1e30 to scores, and see no key of the window.
      float lse = 1e30f;
      int64_t visible_end = 0;
      if (piece_row < RowCount(params)) {
        lse = simt::Load(layer.lse + QueryOf(params, item.kv_head, piece_row)) * params.lse_factor;
        is_finite = is_finite && lse * 0.0f == 0.0f;
        visible_end = VisibleEnd(params, piece_row);
      }
      shared.lse[row] = lse;
      shared.visible_end[row] = static_cast<int32_t>(visible_end);
    }
    if (!is_finite) ReportFailure(params.failure, layer.order, 0, layer.layer, FailureKind::kNonFinite);
  }

  CHUNKKV_DEVICE static void ScoreTile(const Params& params, const ScoreItem& item, int64_t tile) {
    const ScoreLayer& layer = params.layers[item.layer];
    const int64_t first = tile + simt::Warp() * 16 * kFragments + simt::Lane() / 4;  // token of this lane's first row
    typename Tile::Rows keys[kFragments][2];
    float scales[kFragments][2];
    CHUNKKV_UNROLL for (int f = 0; f < kFragments; ++f) {
      CHUNKKV_UNROLL for (int half = 0; half < 2; ++half) {
        const int64_t token = first + f * 16 + half * 8;
        const std::byte* row = nullptr;
        if (token < params.token_count) {
          row = RowAddress(layer.keys, token);
          if (row == nullptr) {
            ReportFailure(params.failure, layer.order, token, layer.layer, FailureKind::kBadPosition);
          } else {
            row += item.kv_head * layer.keys.head_stride_bytes;
          }
        }
        keys[f][half].template LoadFrom<Key>(row, params.head_size);
        scales[f][half] = kHasScales && row != nullptr ? KeyScale(params, layer, item.kv_head, token) : 1.0f;
      }
    }
    float sums[kFragments][2] = {};
    float check = 0;
    if (tile + kTileTokens <= params.past_length) {
      AddRows<false>(params, first, keys, scales, sums, check);
    } else {
      AddRows<true>(params, first, keys, scales, sums, check);
    }
    if (!(check == 0)) ReportFailure(params.failure, layer.order, tile, layer.layer, FailureKind::kNonFinite);
    float* scores =
        layer.partial_scores + (int64_t{item.kv_head} * params.piece_count + item.piece) * params.past_length;
    CHUNKKV_UNROLL for (int f = 0; f < kFragments; ++f) {
      CHUNKKV_UNROLL for (int half = 0; half < 2; ++half) {
        float sum = sums[f][half];
        sum += simt::ShuffleXor(sum, 1);
        sum += simt::ShuffleXor(sum, 2);
        const int64_t token = first + f * 16 + half * 8;
        if (simt::Lane() % 4 == 0 && token < params.past_length) simt::Store(scores + token, sum);
      }
    }
  }

  // kInWindow: some tokens of the tile are in the window or past the end, where not every row sees them.
  template <bool kInWindow>
  CHUNKKV_DEVICE static void AddRows(const Params& params, int64_t first,
                                     const typename Tile::Rows (&keys)[kFragments][2],
                                     const float (&scales)[kFragments][2], float (&sums)[kFragments][2], float& check) {
    const Shared shared(params.piece_rows);
    for (int row = 0; row < params.piece_rows; row += kRowsAtOnce) {
      float products[kFragments][2][4] = {};
      CHUNKKV_UNROLL for (int step = 0; step < kSteps; ++step) {
        const simt::Words4 queries[2] = {Tile::LoadUnit(shared.queries, row, step),
                                         Tile::LoadUnit(shared.queries, row + 8, step)};
        CHUNKKV_UNROLL for (int f = 0; f < kFragments; ++f) {
          CHUNKKV_UNROLL for (int half = 0; half < 2; ++half) {
            Tile::Multiply(keys[f][0], keys[f][1], step, queries[half], products[f][half]);
          }
        }
      }
      CHUNKKV_UNROLL for (int half = 0; half < 2; ++half) {
        const int column = row + half * 8 + simt::Lane() % 4 * 2;  // of products 0 and 2; 1 and 3 are the next
        CHUNKKV_UNROLL for (int f = 0; f < kFragments; ++f) {
          CHUNKKV_UNROLL for (int i = 0; i < 4; ++i) {
            float product = products[f][half][i];
            if (kHasScales) product *= scales[f][i / 2];
            if (kInWindow) {
              const int64_t token = first + f * 16 + i / 2 * 8;
              const bool is_visible = token < params.past_length || token < shared.visible_end[column + i % 2];
              product = is_visible ? product : 0;
            }
            sums[f][i / 2] += simt::Exp2(Logit(params, product, check) - shared.lse[column + i % 2]);
          }
        }
      }
    }
  }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_SCORE_KERNEL_H_
