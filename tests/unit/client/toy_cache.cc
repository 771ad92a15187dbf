#include "tests/unit/client/toy_cache.h"

#include <random>

namespace chunkkv::client {
namespace {

constexpr int32_t kHeads = 4;
constexpr int32_t kKvHeads = 2;
constexpr int32_t kKeySize = 8;
constexpr int32_t kValueSize = 4;

AttentionRun ToyRun() {
  AttentionRun run;
  run.query_head_count = kHeads;
  run.kv_head_count = kKvHeads;
  run.key_head_size = kKeySize;
  run.value_head_size = kValueSize;
  run.rope = RopeShape{0, kKeySize, false, {1, 0.1, 0.01, 0.001}};
  return run;
}

}  // namespace

absl::Span<const std::byte> AsBytes(const std::vector<float>& values) {
  return {reinterpret_cast<const std::byte*>(values.data()), values.size() * sizeof(float)};
}

absl::Span<const std::byte> AsBytes(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

ToyCache::ToyCache(int64_t token_count, uint32_t seed, int64_t window_length)
    : token_count(token_count),
      window_length(window_length),
      seed(seed),
      state(1000, static_cast<char>('a' + seed % 26)) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  const auto draw = [&](int64_t count) {
    std::vector<float> made(count);
    for (float& value : made) value = normal(random);
    return made;
  };
  for (int32_t layer = 0; layer < kToyLayers; ++layer) {
    const int64_t tokens = layer == kToyVerbatimLayer ? 0 : token_count;
    keys.push_back(draw(tokens * kKvHeads * kKeySize));
    values.push_back(draw(tokens * kKvHeads * kValueSize));
    queries.push_back(draw(std::min(tokens, window_length) * kHeads * kKeySize));
  }
}

PutRequest ToyCache::Request(Policy policy) const {
  PutRequest request;
  request.model.name = "toy";
  request.model.revision = "first";
  request.model.kv_dtype = "f32";
  request.model.layer_count = kToyLayers;
  request.model.kv_head_count = kKvHeads;
  request.model.key_head_size = kKeySize;
  request.model.value_head_size = kValueSize;
  for (int64_t i = 0; i < token_count; ++i)
    request.prompt.tokens.push_back(seed * 1000 + static_cast<uint32_t>(i % 50));
  request.layout = {{0, 2, ToyRun(), {}}, {kToyVerbatimLayer, 1, {}, {{"state", 1000}}}, {3, 1, ToyRun(), {}}};
  request.token_count = token_count;
  request.spec.policy = policy;
  if (policy != Policy::kFull && policy != Policy::kExternal) {
    request.spec.keep_ratio = 0.4;
    request.spec.window_length = static_cast<int32_t>(window_length);
  }
  if (policy == Policy::kChunkKv) request.score_source = ScoreSource::kQueryWindow;
  return request;
}

std::vector<LayerArrays> ToyCache::Arrays(bool with_queries) const {
  std::vector<LayerArrays> arrays(kToyLayers);
  for (int32_t layer = 0; layer < kToyLayers; ++layer) {
    if (layer == kToyVerbatimLayer) {
      arrays[layer].named = {{"state", AsBytes(state)}};
      continue;
    }
    arrays[layer].keys = AsBytes(keys[layer]);
    arrays[layer].values = AsBytes(values[layer]);
    if (with_queries) arrays[layer].queries = AsBytes(queries[layer]);
  }
  return arrays;
}

absl::Span<const std::byte> ToyCache::Row(int32_t layer, const std::string& name, int64_t position) const {
  const bool is_key = name == "k";
  const size_t row_bytes = kKvHeads * (is_key ? kKeySize : kValueSize) * sizeof(float);
  return AsBytes(is_key ? keys[layer] : values[layer]).subspan(position * row_bytes, row_bytes);
}

}  // namespace chunkkv::client
