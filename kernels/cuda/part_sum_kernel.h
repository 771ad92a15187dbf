// One pass over the keys where no LSE is given: what of each softmax falls to each part of a chunk, on tensor cores.
#ifndef CHUNKKV_KERNELS_CUDA_PART_SUM_KERNEL_H_
#define CHUNKKV_KERNELS_CUDA_PART_SUM_KERNEL_H_

#include <algorithm>

#include "kernels/cuda/key_tile.h"
#include "kernels/cuda/query_tile.h"

namespace chunkkv::cuda {

// part_sums[kv_head, part, row] = log2 of the sum over the part's tokens of 2^logit, for parts of [0, P), and
// denominators[kv_head, row, run] over the parts of the run.
// Four parts at a time are in shared memory. Lane q of a quad gets two tokens of each product: of its own part, the
// q-th of the four; so a part's sum stays in one lane's registers, whatever its length.
// Shapes and alignment as for DenominatorKernel; runs are params.run_parts parts, a multiple of 4.
template <typename Element, int kSteps>
struct PartSumKernel {
  using Params = ScoreParams;
  using Tile = MmaTile<Element, kSteps>;
  using Queries = QueryTile<Element, kSteps>;
  static constexpr int kWarps = 4;
  static constexpr int kThreads = kWarps * simt::kWarpSize;
  static constexpr int kMinBlocksPerSm = 2;
  static constexpr int kFragments = FragmentsOf(kSteps);  // of 16 rows, that a warp holds
  static constexpr int kPieceRows = DenominatorPieceRows(kSteps);
  static constexpr int kPartsAtOnce = 4;
  static constexpr int kColumns = Parts::kMostTokens / 2;  // products with two tokens of each part
  static constexpr int kStages = 3;
  using Keys = KeyTile<Element, kSteps, Element, kPartsAtOnce * Parts::kMostTokens>;
  // Queries are staged where keys are afterwards.
  static size_t SharedBytes(const Params&) { return std::max(kStages * Keys::kBytes, Queries::Bytes(kPieceRows)); }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    const uint32_t count = ItemCount(params);
    for (uint32_t index = simt::BlockIndex(); index < count; index += simt::BlockCount()) {
      SumParts(params, ItemAt(params, index));
    }
  }

 private:
  CHUNKKV_DEVICE static std::byte* Stage(int stage) { return simt::SharedMemory() + stage * Keys::kBytes; }

  CHUNKKV_DEVICE static void SumParts(const Params& params, const ScoreItem& item) {
    const ScoreLayer& layer = params.layers[item.layer];
    const int of_warp = simt::Warp() * 16 * kFragments;
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
    const int32_t begin = item.run * params.run_parts;
    const int32_t end = begin + params.run_parts < params.parts.count ? begin + params.run_parts : params.parts.count;
    float check = 0;
    CHUNKKV_UNROLL for (int stage = 0; stage + 1 < kStages; ++stage) {
      Fill(params, item, begin + stage * kPartsAtOnce, end, Stage(stage));
    }
    int stage = 0;
    for (int32_t part = begin; part < end; part += kPartsAtOnce) {
      const int last = stage == 0 ? kStages - 1 : stage - 1;
      Fill(params, item, part + (kStages - 1) * kPartsAtOnce, end, Stage(last));
      simt::WaitForCopies<kStages - 1>();
      simt::SyncBlock();
      const bool is_full =
          part + kPartsAtOnce <= params.parts.past_count &&
          BeginOf(params, part + kPartsAtOnce) - BeginOf(params, part) == kPartsAtOnce * Parts::kMostTokens;
      if (params.softcap_log2e > 0) {
        AddParts<true, false>(params, item, part, Stage(stage), queries, sums, check);
      } else if (is_full) {
        AddParts<false, true>(params, item, part, Stage(stage), queries, sums, check);
      } else {
        AddParts<false, false>(params, item, part, Stage(stage), queries, sums, check);
      }
      stage = stage + 1 == kStages ? 0 : stage + 1;
      simt::SyncBlock();
    }
    simt::WaitForCopies<0>();
    Report(params, layer, params.parts.Begin(begin), {.non_finite = !(check == 0)});
    CHUNKKV_UNROLL for (int f = 0; f < kFragments; ++f) {
      CHUNKKV_UNROLL for (int half = 0; half < 2; ++half) {
        const MaxSum all = MergeOverQuad(sums[f][half]);
        const int32_t row = RowOf(item, f, half);
        if (simt::Lane() % 4 != 0 || row >= RowCount(params)) continue;
        simt::Store(layer.denominators + (int64_t{item.kv_head} * RowCount(params) + row) * params.run_count + item.run,
                    all);
      }
    }
  }

  CHUNKKV_DEVICE static int32_t RowOf(const ScoreItem& item, int fragment, int half) {
    return item.piece * kPieceRows + (simt::Warp() * kFragments + fragment) * 16 + half * 8 + simt::Lane() / 4;
  }

  CHUNKKV_DEVICE static int32_t BeginOf(const Params& params, int32_t part) {
    return params.parts.Begin(part < params.parts.count ? part : params.parts.count);
  }

  // Four parts from `part` on; none from `end` on. One group of copies either way.
  CHUNKKV_DEVICE static void Fill(const Params& params, const ScoreItem& item, int32_t part, int32_t end,
                                  std::byte* shared) {
    const int32_t first = BeginOf(params, part);
    const int32_t count = part < end ? BeginOf(params, part + kPartsAtOnce) - first : 0;
    Keys::Fill(params, item, first, count, kThreads, shared);
  }

  // Parts [part, part + 4), whose keys are in `keys`. kIsFull: all have the most tokens that a part may have, and every
  // row sees them.
  template <bool kHasCap, bool kIsFull>
  CHUNKKV_DEVICE static void AddParts(const Params& params, const ScoreItem& item, int32_t part, std::byte* keys,
                                      const simt::Words4 (&queries)[kFragments][kSteps][2],
                                      MaxSum (&sums)[kFragments][2], float& check) {
    const int32_t own = part + simt::Lane() % 4;
    const int32_t begin = BeginOf(params, own);
    const int32_t length = BeginOf(params, own + 1) - begin;
    const int32_t first = simt::Shuffle(begin, 0);
    // As operand B, this lane has a token of part `part + lane / 8`: of lane % 8 / 4 and every second one after it.
    const int token = simt::Lane() % 8 / 4;
    const int row = simt::Shuffle(begin, simt::Lane() / 8) - first + token;
    const int rows = simt::Shuffle(length, simt::Lane() / 8) - token;

    float products[kFragments][kColumns][4] = {};
    CHUNKKV_UNROLL for (int step = 0; step < kSteps; ++step) {
      simt::Words4 units[kColumns];
      CHUNKKV_UNROLL for (int column = 0; column < kColumns; ++column) {
        // Any token where the part has ended.
        const int of_lane = kIsFull || column * 2 < rows ? row + column * 2 : 0;
        units[column] = Tile::UnitOf(keys, of_lane, step);
      }
      CHUNKKV_UNROLL for (int half = 0; half < 2; ++half) {
        CHUNKKV_UNROLL for (int column = 0; column < kColumns; ++column) {
          CHUNKKV_UNROLL for (int f = 0; f < kFragments; ++f) {
            Tile::Multiply(queries[f][step][half], units[column], half, products[f][column]);
          }
        }
      }
    }
    float* part_sums = params.layers[item.layer].part_sums +
                       (int64_t{item.kv_head} * params.parts.past_count + own) * RowCount(params);
    CHUNKKV_UNROLL for (int f = 0; f < kFragments; ++f) {
      CHUNKKV_UNROLL for (int half = 0; half < 2; ++half) {
        const int32_t query_row = RowOf(item, f, half);
        const bool is_row = query_row < RowCount(params);
        const int32_t visible = (is_row ? static_cast<int32_t>(VisibleEnd(params, query_row)) : 0) - begin;
        const int32_t end = visible < length ? visible : length;
        MaxSum sum = {kLowestFloat, 0};
        float logits[kColumns * 2];
        CHUNKKV_UNROLL for (int i = 0; i < kColumns * 2; ++i) {
          const float product = products[f][i / 2][half * 2 + i % 2];
          logits[i] = Logit<kHasCap>(params, kIsFull || i < end ? product : 0, check);
          sum.max = simt::Max(sum.max, kIsFull || i < end ? logits[i] : kLowestFloat);
        }
        CHUNKKV_UNROLL for (int i = 0; i < kColumns * 2; ++i) {
          const float power = simt::Exp2(logits[i] - sum.max);
          sum.sum += kIsFull || i < end ? power : 0;
        }
        sums[f][half] = Merge(sums[f][half], sum);
        if (is_row && length > 0 && own < params.parts.past_count) {
          simt::Store(part_sums + query_row, sum.max + simt::Log2(sum.sum));
        }
      }
    }
  }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_PART_SUM_KERNEL_H_
