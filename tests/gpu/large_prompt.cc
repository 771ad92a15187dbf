#include "tests/gpu/large_prompt.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "kernels/common/half.h"

namespace chunkkv::testing {
namespace {

constexpr size_t kNormals = 1 << 12;

RowMemory MakeRows(const LargeOptions& options, Draw& draw) {
  const RowShape shape = {options.dtype, options.token_count, options.kv_head_count, options.head_size,
                          options.block_token_count};
  return RowMemory(shape, options.layout, draw.random());
}

std::vector<std::byte> FloatsBelow(double most, int64_t count, Draw& draw) {
  std::vector<std::byte> bytes(count * sizeof(float));
  const double unit = most / 0x1p32;
  for (int64_t i = 0; i < count; ++i) {
    const auto value = static_cast<float>(unit * static_cast<double>(draw.random()()));
    std::memcpy(bytes.data() + i * sizeof value, &value, sizeof value);
  }
  return bytes;
}

// The longest of `count` vectors of `size` elements.
double LongestOf(DType dtype, const std::byte* vectors, int64_t count, int64_t size) {
  double longest = 0;
  for (int64_t i = 0; i < count; ++i) {
    double sum = 0;
    for (int64_t d = 0; d < size; ++d) {
      const double element = LoadElement(vectors, dtype, i * size + d);
      sum += element * element;
    }
    longest = std::max(longest, std::sqrt(sum));
  }
  return longest;
}

}  // namespace

void FillNormal(DType dtype, std::byte* bytes, int64_t count, Draw& draw) {
  std::array<uint16_t, kNormals> normals;
  std::normal_distribution<float> normal;
  for (uint16_t& bits : normals) {
    const float value = normal(draw.random());
    bits = dtype == DType::kF16 ? FloatToF16(value) : FloatToBf16(value);
  }
  auto* elements = reinterpret_cast<uint16_t*>(bytes);
  for (int64_t i = 0; i < count; ++i) elements[i] = normals[draw.random()() % kNormals];
}

LargePrompt::LargePrompt(const LargeOptions& options, Draw& draw) : options_(options) {
  const int32_t heads = options.kv_head_count * options.heads_per_kv;
  const int64_t queries = std::min<int64_t>(options.window_length, options.token_count);
  shape_.token_count = options.token_count;
  shape_.source = options.source;
  shape_.has_lse = options.has_lse;
  memory_.resize(options.layer_count);
  layers_.resize(options.layer_count);
  double longest_product = 0;
  for (int32_t layer = 0; layer < options.layer_count; ++layer) {
    AttentionShape& attention = shape_.layers.emplace_back();
    attention.query_head_count = heads;
    attention.kv_head_count = options.kv_head_count;
    attention.key_head_size = attention.value_head_size = options.head_size;
    attention.dtype = options.dtype;

    Memory& memory = memory_[layer];
    LayerInput& input = layers_[layer];
    memory.keys = MakeRows(options, draw);
    memory.values = MakeRows(options, draw);
    FillNormal(options.dtype, memory.keys.bytes().data(), static_cast<int64_t>(memory.keys.bytes().size() / 2), draw);
    input.keys = memory.keys.Rows();
    input.values = memory.values.Rows();
    if (options.source == ScoreSource::kAttention) {
      memory.attention =
          FloatsBelow(2.0 / static_cast<double>(options.token_count), heads * queries * options.token_count, draw);
      input.attention = {memory.attention.data(), DType::kF32, {}};
    } else if (options.source == ScoreSource::kTokenScores) {
      memory.token_scores = FloatsBelow(1, options.token_count - queries, draw);
      input.token_scores = {memory.token_scores.data(), DType::kF32, {}};
    } else {
      memory.queries.resize(queries * heads * options.head_size * DTypeSize(options.dtype));
      FillNormal(options.dtype, memory.queries.data(), queries * heads * options.head_size, draw);
      input.queries = {memory.queries.data(), options.dtype, {}};
      const auto key_count = static_cast<int64_t>(memory.keys.bytes().size() / 2) / options.head_size;
      longest_product = std::max(
          longest_product, LongestOf(options.dtype, memory.queries.data(), queries * heads, options.head_size) *
                               LongestOf(options.dtype, memory.keys.bytes().data(), key_count, options.head_size));
    }
    if (options.has_lse) {
      const auto all = std::log(static_cast<float>(options.token_count)) + 0.5f;
      for (int64_t i = 0; i < queries * heads; ++i) {
        memory.lse.push_back(all + static_cast<float>(draw.Between(-100, 100)) / 400);
      }
      input.lse = memory.lse.data();
    }
  }
  const double scale = 1 / std::sqrt(static_cast<double>(options.head_size));
  tie_tolerance_ = std::max(tie_tolerance_, std::ldexp(scale * longest_product, -20));
}

std::vector<LayerInput> LargePrompt::OnDevice(DeviceMirror& mirror, const MemoryPlace& place) const {
  std::vector<LayerInput> layers = layers_;
  const auto move = [&](auto& view, const auto& bytes) {
    if (bytes.empty()) return;
    const std::byte* copy = mirror.In(bytes.data(), bytes.size());
    view.data = copy + (view.data - bytes.data());
    view.place = place;
  };
  for (size_t i = 0; i < layers.size(); ++i) {
    const Memory& memory = memory_[i];
    for (RowsView* rows : {&layers[i].keys, &layers[i].values}) {
      move(*rows, const_cast<RowMemory&>(rows == &layers[i].keys ? memory.keys : memory.values).bytes());
      if (!rows->IsPaged()) continue;
      const int64_t blocks = (rows->token_count + rows->block_token_count - 1) / rows->block_token_count;
      rows->block_ids = mirror.In(rows->block_ids, blocks * sizeof(int32_t));
    }
    move(layers[i].queries, memory.queries);
    move(layers[i].attention, memory.attention);
    move(layers[i].token_scores, memory.token_scores);
    if (layers[i].lse != nullptr) layers[i].lse = mirror.In(layers[i].lse, memory.lse.size() * sizeof(float));
  }
  return layers;
}

}  // namespace chunkkv::testing
