// Prompts of a real model's layer shape, with contents that are quick to draw.
#ifndef CHUNKKV_TESTS_GPU_LARGE_PROMPT_H_
#define CHUNKKV_TESTS_GPU_LARGE_PROMPT_H_

#include <cstdint>
#include <vector>

#include "chunkkv/kernels/compactor.h"
#include "tests/gpu/draw.h"
#include "tests/unit/kernels/compaction_run.h"
#include "tests/unit/kernels/device_mirror.h"
#include "tests/unit/kernels/row_memory.h"

namespace chunkkv::testing {

struct LargeOptions {
  int64_t token_count = 8192;
  int32_t layer_count = 2;
  DType dtype = DType::kBF16;  // or kF16
  RowLayout layout = RowLayout::kTokenMajor;
  int32_t block_token_count = 16;  // of paged layouts
  ScoreSource source = ScoreSource::kQueryWindow;
  bool has_lse = false;
  int32_t window_length = 32;
  // As in Llama 3 8B.
  int32_t kv_head_count = 8;
  int32_t heads_per_kv = 4;
  int32_t head_size = 128;
};

class LargePrompt {
 public:
  // Keys and queries are normal; LSEs are what such logits have on average.
  LargePrompt(const LargeOptions& options, Draw& draw);

  const CompactionShape& shape() const { return shape_; }
  const std::vector<LayerInput>& layers() const { return layers_; }
  // The same inputs in the memory of a device, which `mirror` holds.
  std::vector<LayerInput> OnDevice(DeviceMirror& mirror, const MemoryPlace& place) const;

  // As NearTieTolerance, at most 1.6 times as large: the product of a query and a key is bounded by their lengths.
  double TieTolerance() const { return tie_tolerance_; }

 private:
  struct Memory {
    RowMemory keys, values;
    std::vector<std::byte> queries, attention, token_scores;
    std::vector<float> lse;
  };

  LargeOptions options_;
  CompactionShape shape_;
  std::vector<LayerInput> layers_;
  std::vector<Memory> memory_;
  double tie_tolerance_ = 1e-5;
};

// Elements [0, count) from `bytes` become normal numbers of the dtype; `bytes` is aligned to them.
void FillNormal(DType dtype, std::byte* bytes, int64_t count, Draw& draw);

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_GPU_LARGE_PROMPT_H_
