// Denominators of the softmaxes, where no LSE is given: the first of two passes over the keys, on tensor cores.
#ifndef CHUNKKV_KERNELS_CUDA_DENOMINATOR_KERNEL_H_
#define CHUNKKV_KERNELS_CUDA_DENOMINATOR_KERNEL_H_

#include "kernels/cuda/key_tile.h"
#include "kernels/cuda/query_tile.h"

namespace chunkkv::cuda {

// denominators[kv_head, row, run] over the keys of the run that the row sees.
// Queries are in registers for the whole run; keys come through two stages of shared memory. A row's maximum and sum
// stay in the lanes of one quad.
// Shapes and alignment as for ScoreKernel; piece_rows is kPieceRows.
template <typename Element, int kSteps, typename Key = Element>
struct DenominatorKernel {
  using Params = ScoreParams;
  using Tile = MmaTile<Element, kSteps>;
  using Queries = QueryTile<Element, kSteps>;
  static constexpr bool kHasScales = !std::is_same_v<Element, Key>;
  static constexpr int kWarps = 4;
  static constexpr int kThreads = kWarps * simt::kWarpSize;
  static constexpr int kMinBlocksPerSm = 2;
  static constexpr int kFragments = FragmentsOf(kSteps);  // of 16 rows, that a warp holds
  static constexpr int kPieceRows = DenominatorPieceRows(kSteps);
  static constexpr int kTileTokens = 64;
  static constexpr int kTokensAtOnce = 32;
  using Keys = KeyTile<Element, kSteps, Key, kTileTokens>;
  static_assert(Queries::Bytes(kPieceRows) <= 2 * Keys::kBytes);  // staged where keys are afterwards
  static size_t SharedBytes(const Params&) { return 2 * Keys::kBytes; }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    const uint32_t count = ItemCount(params);
    for (uint32_t index = simt::BlockIndex(); index < count; index += simt::BlockCount()) {
      FindDenominators(params, ItemAt(params, index));
    }
  }

 private:
  CHUNKKV_DEVICE static std::byte* Stage(int stage) { return simt::SharedMemory() + stage * Keys::kBytes; }

  CHUNKKV_DEVICE static void FindDenominators(const Params& params, const ScoreItem& item) {
    const ScoreLayer& layer = params.layers[item.layer];
    const int of_warp = simt::Warp() * 16 * kFragments;
    const int32_t first_row = item.piece * kPieceRows + of_warp + simt::Lane() / 4;
    float check = 0;
    Queries::Stage(params, item, item.piece * kPieceRows, kPieceRows, kThreads, simt::SharedMemory());
    simt::SyncBlock();
    simt::Words4 queries[kFragments][kSteps][2];
    MaxSum sums[kFragments][2];
    CHUNKKV_UNROLL for (int f = 0; f < kFragments; ++f) {
      CHUNKKV_UNROLL for (int i = 0; i < kSteps * 2; ++i) {
        queries[f][i / 2][i % 2] = Queries::Load(simt::SharedMemory(), of_warp + f * 16, i / 2, i % 2);
      }
      CHUNKKV_UNROLL for (int half = 0; half < 2; ++half) sums[f][half] = {kLowestFloat, 0};
    }
    simt::SyncBlock();
    const int64_t begin = int64_t{item.run} * params.run_tokens;
    const int64_t end = begin + params.run_tokens < params.token_count ? begin + params.run_tokens : params.token_count;
    Keys::Fill(params, item, begin, kTileTokens, kThreads, Stage(0));
    int stage = 0;
    for (int64_t tile = begin; tile < end; tile += kTileTokens, stage ^= 1) {
      if (tile + kTileTokens < end) {
        Keys::Fill(params, item, tile + kTileTokens, kTileTokens, kThreads, Stage(stage ^ 1));
        simt::WaitForCopies<1>();
      } else {
        simt::WaitForCopies<0>();
      }
      simt::SyncBlock();
      for (int at = 0; at < kTileTokens; at += kTokensAtOnce) {
        // The first query of the window sees the fewest keys.
        if (params.softcap_log2e > 0) {
          AddTokens<true, true>(params, tile + at, first_row, stage, at, queries, sums, check);
        } else if (tile + at + kTokensAtOnce > VisibleEnd(params, 0)) {
          AddTokens<false, true>(params, tile + at, first_row, stage, at, queries, sums, check);
        } else {
          AddTokens<false, false>(params, tile + at, first_row, stage, at, queries, sums, check);
        }
      }
      simt::SyncBlock();
    }
    Report(params, layer, begin, {.non_finite = !(check == 0)});
    CHUNKKV_UNROLL for (int f = 0; f < kFragments; ++f) {
      CHUNKKV_UNROLL for (int half = 0; half < 2; ++half) {
        const int32_t row = first_row + f * 16 + half * 8;
        const MaxSum all = MergeOverQuad(sums[f][half]);
        if (simt::Lane() % 4 != 0 || row >= RowCount(params)) continue;
        simt::Store(layer.denominators + (int64_t{item.kv_head} * RowCount(params) + row) * params.run_count + item.run,
                    all);
      }
    }
  }

  // Of stage `stage`, kTokensAtOnce tokens from its token `at` on, which is the prompt's token `first_token`.
  // kMasked: some of the tokens may not be visible to some rows.
  template <bool kHasCap, bool kMasked>
  CHUNKKV_DEVICE static void AddTokens(const Params& params, int64_t first_token, int32_t first_row, int stage, int at,
                                       const simt::Words4 (&queries)[kFragments][kSteps][2],
                                       MaxSum (&sums)[kFragments][2], float& check) {
    constexpr int kColumns = kTokensAtOnce / 8;
    std::byte* keys = Stage(stage) + at * Tile::kRowBytes;
    float products[kFragments][kColumns][4] = {};
    CHUNKKV_UNROLL for (int step = 0; step < kSteps; ++step) {
      CHUNKKV_UNROLL for (int column = 0; column < kColumns; ++column) {
        const simt::Words4 unit = Tile::UnitOf(keys, column * 8 + simt::Lane() / 4, step);
        CHUNKKV_UNROLL for (int f = 0; f < kFragments; ++f) {
          CHUNKKV_UNROLL for (int half = 0; half < 2; ++half) {
            Tile::Multiply(queries[f][step][half], unit, half, products[f][column]);
          }
        }
      }
    }
    const int64_t token = first_token + simt::Lane() % 4 * 2;
    CHUNKKV_UNROLL for (int f = 0; f < kFragments; ++f) {
      CHUNKKV_UNROLL for (int half = 0; half < 2; ++half) {
        const int32_t row = first_row + f * 16 + half * 8;
        const int64_t visible_end = !kMasked || row < RowCount(params) ? VisibleEnd(params, row) : 0;
        float logits[kColumns * 2];
        float max = sums[f][half].max;
        CHUNKKV_UNROLL for (int i = 0; i < kColumns * 2; ++i) {
          const bool is_visible = !kMasked || token + i / 2 * 8 + i % 2 < visible_end;
          float product = products[f][i / 2][half * 2 + i % 2];
          if constexpr (kHasScales)
            product *= Keys::Scales(Stage(stage))[at + simt::Lane() % 4 * 2 + i / 2 * 8 + i % 2];
          logits[i] = Logit<kHasCap>(params, is_visible ? product : 0, check);
          max = simt::Max(max, is_visible ? logits[i] : kLowestFloat);
        }
        float sum = sums[f][half].sum * simt::Exp2(sums[f][half].max - max);
        CHUNKKV_UNROLL for (int i = 0; i < kColumns * 2; ++i) {
          const bool is_visible = !kMasked || token + i / 2 * 8 + i % 2 < visible_end;
          const float power = simt::Exp2(logits[i] - max);
          sum += is_visible ? power : 0;
        }
        sums[f][half] = {max, sum};
      }
    }
  }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_DENOMINATOR_KERNEL_H_
