#include "tests/unit/kernels/random_prompt.h"

#include <algorithm>
#include <cmath>

#include "kernels/common/half.h"

namespace chunkkv::testing {
namespace {

void SetRowElement(const RowsView& rows, int64_t token, int64_t head, int64_t dim, float value) {
  StoreElement(value, const_cast<std::byte*>(rows.data) + HeadOffset(rows, token, head), rows.dtype, dim);
}

}  // namespace

float RowElement(const RowsView& rows, int64_t token, int64_t head, int64_t dim) {
  return LoadElement(rows.data + HeadOffset(rows, token, head), rows.dtype, dim);
}

float KeyScale(const LayerInput& input, int64_t token, int64_t head) {
  return input.key_scales.data == nullptr ? 1 : RowElement(input.key_scales, token, head, 0);
}

RowMemory RandomPrompt::MakeScales() {
  RowMemory memory({DType::kF32, options_.token_count, options_.kv_head_count, 1, options_.block_token_count},
                   options_.layout, random_);
  const RowsView rows = memory.Rows();
  for (int64_t token = 0; token < rows.token_count; ++token) {
    for (int64_t head = 0; head < rows.head_count; ++head) {
      SetRowElement(rows, token, head, 0, 0.5f + std::fabs(Normal(1)));
    }
  }
  return memory;
}

RowMemory RandomPrompt::MakeRows(int32_t head_size) {
  RowMemory memory(
      {options_.dtype, options_.token_count, options_.kv_head_count, head_size, options_.block_token_count},
      options_.layout, random_);
  const RowsView rows = memory.Rows();
  if (!IsScorable(rows.dtype)) {  // of either sign, and finite
    for (std::byte& byte : memory.bytes()) byte = static_cast<std::byte>(random_() & 0xbf);
    return memory;
  }
  for (int64_t token = 0; token < rows.token_count; ++token) {
    for (int64_t head = 0; head < rows.head_count; ++head) {
      for (int64_t dim = 0; dim < head_size; ++dim) SetRowElement(rows, token, head, dim, Normal(options_.magnitude));
    }
  }
  return memory;
}

RandomPrompt::RandomPrompt(const PromptOptions& options, uint32_t seed) : options_(options), random_(seed) {
  const int32_t heads = options.kv_head_count * options.heads_per_kv;
  const int64_t queries = std::min<int64_t>(options.window_length, options.token_count);
  shape_.token_count = options.token_count;
  shape_.source = options.source;
  shape_.has_lse = options.has_lse;
  memory_.resize(options.layer_count);
  layers_.resize(options.layer_count);
  for (int32_t layer = 0; layer < options.layer_count; ++layer) {
    AttentionShape attention;
    attention.query_head_count = heads;
    attention.kv_head_count = options.kv_head_count;
    attention.key_head_size = options.key_head_size;
    attention.value_head_size = options.value_head_size;
    attention.dtype = options.dtype;
    attention.scale = options.scale;
    attention.softcap = options.softcap;
    attention.has_key_scales = options.has_key_scales;
    for (int32_t head = 0; head < heads && options.has_sink_logits; ++head) {
      attention.sink_logits.push_back(Normal(2));
    }
    shape_.layers.push_back(attention);

    Memory& memory = memory_[layer];
    LayerInput& input = layers_[layer];
    memory.keys = MakeRows(options.key_head_size);
    input.keys = memory.keys.Rows();
    if (options.has_key_scales) {
      memory.key_scales = MakeScales();
      input.key_scales = memory.key_scales.Rows();
    }
    if (options.value_head_size > 0) {
      memory.values = MakeRows(options.value_head_size);
      input.values = memory.values.Rows();
    }
    const DType query_dtype = IsScorable(options.dtype) ? options.dtype : options.query_dtype;
    memory.queries.resize(queries * heads * options.key_head_size * DTypeSize(query_dtype));
    input.queries = {memory.queries.data(), query_dtype, {}};
    for (int64_t i = 0; i < queries * heads * options.key_head_size; ++i) SetQuery(layer, i, Normal(options.magnitude));
    if (options.has_lse) {
      std::vector<double> lse;
      ComputeAttention(layer, nullptr, &lse);
      memory.lse.assign(lse.begin(), lse.end());
      input.lse = memory.lse.data();
    }
    if (options.source == ScoreSource::kAttention) {
      const std::vector<double> probabilities = Attention(layer);
      memory.attention.resize(probabilities.size() * sizeof(float));
      input.attention = {memory.attention.data(), DType::kF32, {}};
      for (size_t i = 0; i < probabilities.size(); ++i) SetAttention(layer, i, static_cast<float>(probabilities[i]));
    }
    if (options.source == ScoreSource::kTokenScores) {
      const int64_t past = options.token_count - queries;
      memory.token_scores.resize(past * sizeof(float));
      input.token_scores = {memory.token_scores.data(), DType::kF32, {}};
      for (int64_t j = 0; j < past; ++j) SetTokenScore(layer, j, std::fabs(Normal(1)));
    }
  }
}

void RandomPrompt::ComputeAttention(int32_t layer, std::vector<double>* probabilities, std::vector<double>* lse) const {
  const AttentionShape& shape = shape_.layers[layer];
  const LayerInput& input = layers_[layer];
  const int64_t length = shape_.token_count;
  const int64_t heads = shape.query_head_count;
  const int64_t queries = std::min<int64_t>(options_.window_length, length);
  const double scale = shape.scale > 0 ? shape.scale : 1 / std::sqrt(static_cast<double>(shape.key_head_size));
  if (probabilities != nullptr) probabilities->assign(heads * queries * length, 0.0);
  if (lse != nullptr) lse->assign(queries * heads, 0.0);
  std::vector<double> logits(length);
  for (int64_t head = 0; head < heads; ++head) {
    for (int64_t i = 0; i < queries; ++i) {
      const int64_t visible = length - queries + i + 1;
      double sum = shape.sink_logits.empty() ? 0 : std::exp(shape.sink_logits[head]);
      for (int64_t j = 0; j < visible; ++j) {
        double dot = 0;
        for (int64_t d = 0; d < shape.key_head_size; ++d) {
          dot += double{RowElement(input.keys, j, head / options_.heads_per_kv, d)} *
                 LoadElement(input.queries.data, input.queries.dtype, (i * heads + head) * shape.key_head_size + d);
        }
        logits[j] = scale * KeyScale(input, j, head / options_.heads_per_kv) * dot;
        if (shape.softcap > 0) logits[j] = shape.softcap * std::tanh(logits[j] / shape.softcap);
        sum += std::exp(logits[j]);
      }
      if (lse != nullptr) (*lse)[i * heads + head] = std::log(sum);
      for (int64_t j = 0; j < visible && probabilities != nullptr; ++j) {
        (*probabilities)[(head * queries + i) * length + j] = std::exp(logits[j]) / sum;
      }
    }
  }
}

std::vector<double> RandomPrompt::Attention(int32_t layer) const {
  std::vector<double> probabilities;
  ComputeAttention(layer, &probabilities, nullptr);
  return probabilities;
}

void RandomPrompt::SetQuery(int32_t layer, int64_t index, float value) {
  StoreElement(value, memory_[layer].queries.data(), layers_[layer].queries.dtype, index);
}
void RandomPrompt::SetKey(int32_t layer, int64_t token, int64_t head, int64_t dim, float value) {
  SetRowElement(layers_[layer].keys, token, head, dim, value);
}
void RandomPrompt::SetValue(int32_t layer, int64_t token, int64_t head, int64_t dim, float value) {
  SetRowElement(layers_[layer].values, token, head, dim, value);
}
void RandomPrompt::SetLse(int32_t layer, int64_t index, float value) { memory_[layer].lse[index] = value; }
void RandomPrompt::SetAttention(int32_t layer, int64_t index, float value) {
  StoreElement(value, memory_[layer].attention.data(), DType::kF32, index);
}
void RandomPrompt::SetTokenScore(int32_t layer, int64_t index, float value) {
  StoreElement(value, memory_[layer].token_scores.data(), DType::kF32, index);
}
void RandomPrompt::SetKeyBlockId(int32_t layer, size_t block, int32_t id) {
  memory_[layer].keys.block_ids()[block] = id;
}

}  // namespace chunkkv::testing
