#ifndef CHUNKKV_KERNELS_CUDA_KEY_TILE_H_
#define CHUNKKV_KERNELS_CUDA_KEY_TILE_H_

#include "kernels/cuda/mma_tile.h"
#include "kernels/cuda/score_params.h"

namespace chunkkv::cuda {

// Rows of keys in shared memory, and the scales of fp8 ones: filled by asynchronous copies.
template <typename Element, int kSteps, typename Key, int kTokens>
struct KeyTile {
  using Tile = MmaTile<Element, kSteps>;
  static constexpr bool kHasScales = !std::is_same_v<Element, Key>;
  static constexpr size_t kBytes = kTokens * (Tile::kRowBytes + (kHasScales ? sizeof(float) : 0));

  CHUNKKV_DEVICE static float* Scales(std::byte* shared) {
    return reinterpret_cast<float*>(shared + kTokens * Tile::kRowBytes);
  }

  // Tokens [first, first + count) of the item's KV head, count <= kTokens, zeros from the prompt's end on, by all
  // `threads` threads of the block; one group of copies.
  CHUNKKV_DEVICE static void Fill(const ScoreParams& params, const ScoreItem& item, int64_t first, int count,
                                  int threads, std::byte* shared) {
    const ScoreLayer& layer = params.layers[item.layer];
    Findings found;
    for (int at = simt::ThreadIndex(); at < count * Tile::kUnits; at += threads) {
      const int row = at / Tile::kUnits;
      const int unit = at % Tile::kUnits;
      const int64_t token = first + row;
      const std::byte* address = nullptr;
      if (token < params.token_count && unit * 8 < params.head_size) {
        address = RowAddress(layer.keys, token);
        found.bad_block = found.bad_block || address == nullptr;
        if (address != nullptr) address += item.kv_head * layer.keys.head_stride_bytes + unit * 8 * sizeof(Key);
      }
      const bool is_valid = address != nullptr;
      if constexpr (kHasScales) {
        Tile::StoreUnit(shared, row, unit, is_valid ? LoadEight<Element, Key>(address, 0) : simt::Words4{});
      } else {
        simt::CopyAsync(Tile::UnitAddress(shared, row, unit), is_valid ? address : layer.keys.data, is_valid);
      }
    }
    if constexpr (kHasScales) {
      for (int row = simt::ThreadIndex(); row < count; row += threads) {
        const bool is_token = first + row < params.token_count;
        Scales(shared)[row] = is_token ? KeyScale(layer, item.kv_head, first + row, found) : 1.0f;
      }
    }
    simt::CommitCopies();
    Report(params, layer, first, found);
  }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_KEY_TILE_H_
