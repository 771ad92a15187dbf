// Prompts with seeded random contents for conformance tests: odd shapes, any layout, any source of scores.
#ifndef CHUNKKV_TESTS_UNIT_KERNELS_RANDOM_PROMPT_H_
#define CHUNKKV_TESTS_UNIT_KERNELS_RANDOM_PROMPT_H_

#include <cstdint>
#include <random>
#include <vector>

#include "chunkkv/kernels/compactor.h"
#include "tests/unit/kernels/compaction_run.h"
#include "tests/unit/kernels/row_memory.h"

namespace chunkkv::testing {

struct PromptOptions {
  int64_t token_count = 40;
  int32_t layer_count = 1;
  int32_t kv_head_count = 2;
  int32_t heads_per_kv = 2;
  int32_t key_head_size = 8;
  int32_t value_head_size = 8;
  DType dtype = DType::kF32;
  ScoreSource source = ScoreSource::kQueryWindow;
  DType query_dtype = DType::kF32;  // beside fp8 keys; else queries are of `dtype`
  bool has_key_scales = false;      // of fp8 keys
  bool has_lse = false;
  RowLayout layout = RowLayout::kTokenMajor;
  int32_t block_token_count = 16;  // of paged layouts
  int32_t window_length = 8;
  double scale = 0;
  double softcap = 0;
  bool has_sink_logits = false;
  float magnitude = 1.0f;  // of keys and queries
};

// Inputs of all layers and the shape that describes them. LSEs and attention are those of the keys and queries.
class RandomPrompt {
 public:
  RandomPrompt(const PromptOptions& options, uint32_t seed);
  RandomPrompt(const RandomPrompt&) = delete;
  RandomPrompt& operator=(const RandomPrompt&) = delete;

  const CompactionShape& shape() const { return shape_; }
  const std::vector<LayerInput>& layers() const { return layers_; }

  // Memory behind the views, to damage: element `index` of layer `layer`'s queries, of a key, and so on.
  void SetQuery(int32_t layer, int64_t index, float value);
  void SetKey(int32_t layer, int64_t token, int64_t head, int64_t dim, float value);
  void SetValue(int32_t layer, int64_t token, int64_t head, int64_t dim, float value);
  void SetLse(int32_t layer, int64_t index, float value);
  void SetAttention(int32_t layer, int64_t index, float value);
  void SetTokenScore(int32_t layer, int64_t index, float value);
  void SetKeyBlockId(int32_t layer, size_t block, int32_t id);

  // Probabilities [H, w', L] of one layer's attention, in float64.
  std::vector<double> Attention(int32_t layer) const;

 private:
  struct Memory {
    RowMemory keys, values, key_scales;
    std::vector<std::byte> queries, attention, token_scores;
    std::vector<float> lse;
  };

  RowMemory MakeRows(int32_t head_size);
  RowMemory MakeScales();
  void ComputeAttention(int32_t layer, std::vector<double>* probabilities, std::vector<double>* lse) const;
  float Normal(float deviation) { return std::normal_distribution<float>(0, deviation)(random_); }

  PromptOptions options_;
  std::mt19937 random_;
  CompactionShape shape_;
  std::vector<LayerInput> layers_;
  std::vector<Memory> memory_;
};

// Element of `rows`.
float RowElement(const RowsView& rows, int64_t token, int64_t head, int64_t dim);

// What the elements of a token's key are multiplied by; 1 where there are no scales.
float KeyScale(const LayerInput& input, int64_t token, int64_t head);

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_UNIT_KERNELS_RANDOM_PROMPT_H_
