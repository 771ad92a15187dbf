#include "service/format/layout.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace chunkkv {
namespace {

int64_t PerTokenBytes(const AttentionRun& run) {
  const int64_t keys = static_cast<int64_t>(run.key_head_size * DTypeSize(run.key_dtype));
  const int64_t values = static_cast<int64_t>(run.value_head_size * DTypeSize(run.value_dtype));
  int64_t scales = 0;
  if (run.scales.has_value()) {
    scales = static_cast<int64_t>(run.scales->scales_per_head * DTypeSize(run.scales->dtype));
    if (run.value_head_size > 0) scales *= 2;
  }
  return run.kv_head_count * (keys + values + scales);
}

TensorSpec PerToken(int32_t layer, TensorKind kind, std::string name, DType dtype, int32_t heads, int32_t size) {
  TensorSpec spec;
  spec.layer = layer;
  spec.kind = kind;
  spec.name = std::move(name);
  spec.dtype = dtype;
  spec.head_count = heads;
  spec.head_size = size;
  spec.row_bytes = static_cast<int64_t>(DTypeSize(dtype)) * heads * size;
  return spec;
}

}  // namespace

int32_t LayerCount(const Layout& layout) {
  return layout.empty() ? 0 : layout.back().first_layer + layout.back().layer_count;
}

int32_t AttentionLayerCount(const Layout& layout) {
  int32_t count = 0;
  for (const LayerRun& run : layout) count += run.is_attention() ? run.layer_count : 0;
  return count;
}

const LayerRun* FindRun(const Layout& layout, int32_t layer) {
  for (const LayerRun& run : layout) {
    if (layer >= run.first_layer && layer - run.first_layer < run.layer_count) return &run;
  }
  return nullptr;
}

std::vector<int32_t> AttentionLayers(const Layout& layout) {
  std::vector<int32_t> layers;
  for (const LayerRun& run : layout) {
    for (int32_t i = 0; run.is_attention() && i < run.layer_count; ++i) layers.push_back(run.first_layer + i);
  }
  return layers;
}

int32_t AttentionIndex(const Layout& layout, int32_t layer) {
  int32_t before = 0;
  for (const LayerRun& run : layout) {
    if (layer >= run.first_layer && layer - run.first_layer < run.layer_count) {
      return run.is_attention() ? before + layer - run.first_layer : -1;
    }
    before += run.is_attention() ? run.layer_count : 0;
  }
  return -1;
}

std::string TensorName(const TensorSpec& spec) { return absl::StrCat("layers.", spec.layer, ".", spec.name); }

std::vector<TensorSpec> LayerTensors(const Layout& layout, int32_t layer) {
  std::vector<TensorSpec> tensors;
  const LayerRun* run = FindRun(layout, layer);
  if (run == nullptr) return tensors;
  if (!run->is_attention()) {
    for (const NamedTensor& named : run->named_tensors) {
      TensorSpec& spec = tensors.emplace_back();
      spec.layer = layer;
      spec.kind = TensorKind::kNamed;
      spec.name = named.name;
      spec.size_bytes = named.size_bytes;
    }
    return tensors;
  }
  const AttentionRun& attention = *run->attention;
  const int32_t heads = attention.kv_head_count;
  const bool has_values = attention.value_head_size > 0;
  tensors.push_back(PerToken(layer, TensorKind::kKeys, "k", attention.key_dtype, heads, attention.key_head_size));
  if (has_values) {
    tensors.push_back(
        PerToken(layer, TensorKind::kValues, "v", attention.value_dtype, heads, attention.value_head_size));
  }
  if (attention.scales.has_value()) {
    const ScaleShape& scales = *attention.scales;
    tensors.push_back(PerToken(layer, TensorKind::kKeyScales, "k_scale", scales.dtype, heads, scales.scales_per_head));
    if (has_values) {
      tensors.push_back(
          PerToken(layer, TensorKind::kValueScales, "v_scale", scales.dtype, heads, scales.scales_per_head));
    }
  }
  return tensors;
}

int64_t TensorCount(const Layout& layout) {
  int64_t count = 0;
  for (const LayerRun& run : layout) {
    int64_t in_layer = static_cast<int64_t>(run.named_tensors.size());
    if (run.is_attention()) {
      in_layer = (run.attention->value_head_size > 0 ? 2 : 1) * (run.attention->scales.has_value() ? 2 : 1);
    }
    count += run.layer_count * in_layer;
  }
  return count;
}

int64_t FullBytes(const Layout& layout, int64_t token_count) {
  int64_t bytes = 0;
  for (const LayerRun& run : layout) {
    int64_t layer_bytes = 0;
    if (run.is_attention()) {
      layer_bytes = PerTokenBytes(*run.attention) * token_count;
    } else {
      for (const NamedTensor& named : run.named_tensors) layer_bytes += named.size_bytes;
    }
    bytes += run.layer_count * layer_bytes;
  }
  return bytes;
}

}  // namespace chunkkv
