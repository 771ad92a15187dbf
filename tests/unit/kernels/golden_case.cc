#include "tests/unit/kernels/golden_case.h"

#include <algorithm>
#include <string>

namespace chunkkv::testing {
namespace {

using nlohmann::json;

template <typename T>
void Read(const json& arguments, const char* name, std::optional<T>& field) {
  if (arguments.contains(name)) field = arguments[name].get<T>();
}

CompactionSpec SpecFrom(const json& arguments, int32_t layer_count) {
  CompactionSpec spec;
  spec.policy = PolicyFromName(arguments["policy"].get<std::string>()).value();
  Read(arguments, "keep_ratio", spec.keep_ratio);
  Read(arguments, "max_tokens", spec.max_tokens);
  Read(arguments, "chunk_length", spec.chunk_length);
  Read(arguments, "window_length", spec.window_length);
  Read(arguments, "reuse_group", spec.reuse_group);
  Read(arguments, "sink_tokens", spec.sink_tokens);
  Read(arguments, "pool", spec.pool);
  Read(arguments, "recent_ratio", spec.recent_ratio);
  Read(arguments, "budget_multiple", spec.budget_multiple);
  Read(arguments, "min_retained_mass", spec.min_retained_mass);
  Read(arguments, "max_raised_tokens", spec.max_raised_tokens);
  if (arguments.contains("group_score"))
    spec.group_score = GroupScoreFromName(arguments["group_score"].get<std::string>());
  if (arguments.contains("chunk_reduce"))
    spec.chunk_reduce = ChunkReduceFromName(arguments["chunk_reduce"].get<std::string>());
  if (arguments.contains("on_low_mass"))
    spec.on_low_mass = OnLowMassFromName(arguments["on_low_mass"].get<std::string>());
  if (arguments.contains("leaders")) {
    int32_t first = 0;
    for (const int32_t leader : arguments["leaders"]) {
      const int32_t count = std::min(*spec.reuse_group, layer_count - first);
      spec.groups.push_back({first, count, leader});
      first += count;
    }
  }
  return spec;
}

DenseView Dense(const GoldenTensor& tensor) { return {tensor.bytes.data(), DTypeFromName(tensor.dtype).value(), {}}; }

}  // namespace

GoldenCase::GoldenCase(const std::string& input_path, const json& arguments) : file(ReadGoldenFile(input_path)) {
  const auto find = [this](size_t layer, const char* name) -> const GoldenTensor* {
    const auto found = file.tensors.find("layers." + std::to_string(layer) + "." + name);
    return found == file.tensors.end() ? nullptr : &found->second;
  };
  for (size_t i = 0; find(i, "k") != nullptr; ++i) {
    const GoldenTensor& keys = *find(i, "k");
    AttentionShape layer;
    LayerInput input;
    shape.token_count = keys.shape[0];
    layer.dtype = DTypeFromName(keys.dtype).value();
    layer.kv_head_count = layer.query_head_count = static_cast<int32_t>(keys.shape[1]);
    layer.key_head_size = static_cast<int32_t>(keys.shape[2]);
    input.keys =
        TokenMajorRows(keys.bytes.data(), layer.dtype, keys.shape[0], layer.kv_head_count, layer.key_head_size);
    if (const GoldenTensor* values = find(i, "v")) {
      layer.value_head_size = static_cast<int32_t>(values->shape[2]);
      input.values = TokenMajorRows(values->bytes.data(), layer.dtype, values->shape[0], layer.kv_head_count,
                                    layer.value_head_size);
    }
    if (const GoldenTensor* queries = find(i, "q")) {
      shape.source = ScoreSource::kQueryWindow;
      layer.query_head_count = static_cast<int32_t>(queries->shape[1]);
      input.queries = Dense(*queries);
    }
    if (const GoldenTensor* lse = find(i, "lse")) {
      shape.has_lse = true;
      input.lse = reinterpret_cast<const float*>(lse->bytes.data());
    }
    if (const GoldenTensor* attention = find(i, "attention")) {
      shape.source = ScoreSource::kAttention;
      layer.query_head_count = static_cast<int32_t>(attention->shape[0]);
      input.attention = Dense(*attention);
    }
    if (const GoldenTensor* scores = find(i, "scores")) {
      shape.source = ScoreSource::kTokenScores;
      input.token_scores = Dense(*scores);
    }
    const auto number = [this](const char* name) {
      return file.metadata.contains(name) ? json::parse(file.metadata[name]).get<double>() : 0.0;
    };
    layer.scale = number("scale");
    layer.softcap = number("softcap");
    if (file.metadata.contains("sink_logits")) {
      layer.sink_logits = json::parse(file.metadata["sink_logits"]).get<std::vector<float>>();
    }
    shape.layers.push_back(layer);
    layers.push_back(input);
  }
  spec = SpecFrom(arguments, static_cast<int32_t>(layers.size()));
  if (const auto starts = file.tensors.find("chunk_starts"); starts != file.tensors.end()) {
    const auto* values = reinterpret_cast<const int32_t*>(starts->second.bytes.data());
    spec.chunk_starts.assign(values, values + starts->second.shape[0]);
  }
  if (file.metadata.contains("rope")) {
    const json said = json::parse(file.metadata["rope"]);
    rope = RopeShape{said["first_dim"], said["rotary_dims"], said["pairing"] == "interleaved",
                     said["inv_freq"].get<std::vector<double>>()};
  }
}

}  // namespace chunkkv::testing
