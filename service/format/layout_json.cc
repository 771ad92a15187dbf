#include "service/format/layout_json.h"

#include <cmath>
#include <limits>

#include "nlohmann/json.hpp"
#include "service/format/json_fields.h"

namespace chunkkv {
namespace {

using nlohmann::json;

json DTypeJson(DType dtype) { return std::string(DTypeName(dtype)); }

bool ReadDType(const json& object, const char* name, DType* dtype) {
  std::string text;
  if (!ReadField(object, name, &text)) return false;
  const std::optional<DType> found = DTypeFromName(text);
  *dtype = found.value_or(DType::kF32);
  return found.has_value();
}

json AttentionJson(const AttentionRun& run) {
  json object = {{"query_head_count", run.query_head_count},
                 {"kv_head_count", run.kv_head_count},
                 {"key_head_size", run.key_head_size},
                 {"value_head_size", run.value_head_size},
                 {"dtype", DTypeJson(run.key_dtype)},
                 {"value_dtype", DTypeJson(run.value_dtype)},
                 {"scale", run.scale},
                 {"softcap", run.softcap}};
  if (!run.sink_logits.empty()) object["sink_logits"] = run.sink_logits;
  if (run.rope.has_value()) {
    object["rope"] = {{"first_dim", run.rope->first_dim},
                      {"rotary_dims", run.rope->rotary_dims},
                      {"pairing", run.rope->interleaved ? "interleaved" : "half"},
                      {"inv_freq", run.rope->inv_freq}};
  }
  if (run.scales.has_value()) {
    object["scales"] = {{"scales_per_head", run.scales->scales_per_head}, {"dtype", DTypeJson(run.scales->dtype)}};
  }
  return object;
}

bool ReadCount(const json& object, const char* name, int32_t* count) {
  return ReadField(object, name, 0, INT32_MAX, count);
}

bool ReadRope(const json& object, RopeShape* rope) {
  std::string pairing;
  if (!ReadCount(object, "first_dim", &rope->first_dim) || !ReadCount(object, "rotary_dims", &rope->rotary_dims) ||
      !ReadField(object, "pairing", &pairing) || (pairing != "half" && pairing != "interleaved")) {
    return false;
  }
  rope->interleaved = pairing == "interleaved";
  const json* frequencies = FindField(object, "inv_freq");
  if (frequencies == nullptr || !frequencies->is_array()) return false;
  for (const json& frequency : *frequencies) {
    if (!ReadFinite(frequency, &rope->inv_freq.emplace_back())) return false;
  }
  return true;
}

bool ReadSinkLogits(const json& logits, std::vector<float>* sink_logits) {
  if (!logits.is_array()) return false;
  for (const json& logit : logits) {
    double value = 0;
    if (!ReadFinite(logit, &value) || std::abs(value) > std::numeric_limits<float>::max()) return false;
    sink_logits->push_back(static_cast<float>(value));
  }
  return true;
}

bool ReadAttention(const json& object, AttentionRun* run) {
  if (!ReadCount(object, "query_head_count", &run->query_head_count) ||
      !ReadCount(object, "kv_head_count", &run->kv_head_count) ||
      !ReadCount(object, "key_head_size", &run->key_head_size) ||
      !ReadCount(object, "value_head_size", &run->value_head_size) || !ReadDType(object, "dtype", &run->key_dtype) ||
      !ReadDType(object, "value_dtype", &run->value_dtype) || !ReadField(object, "scale", &run->scale) ||
      !ReadField(object, "softcap", &run->softcap)) {
    return false;
  }
  if (const json* logits = FindField(object, "sink_logits")) {
    if (!ReadSinkLogits(*logits, &run->sink_logits)) return false;
  }
  if (const json* rope = FindField(object, "rope")) {
    if (!ReadRope(*rope, &run->rope.emplace())) return false;
  }
  if (const json* scales = FindField(object, "scales")) {
    ScaleShape& shape = run->scales.emplace();
    if (!ReadCount(*scales, "scales_per_head", &shape.scales_per_head) || !ReadDType(*scales, "dtype", &shape.dtype)) {
      return false;
    }
  }
  return true;
}

bool ReadNamedTensors(const json& list, std::vector<NamedTensor>* tensors) {
  if (!list.is_array()) return false;
  for (const json& item : list) {
    NamedTensor& tensor = tensors->emplace_back();
    if (!ReadField(item, "name", &tensor.name) || !ReadField(item, "size_bytes", 0, INT64_MAX, &tensor.size_bytes)) {
      return false;
    }
  }
  return true;
}

}  // namespace

json LayoutJson(const Layout& layout) {
  json runs = json::array();
  for (const LayerRun& run : layout) {
    json object = {{"first_layer", run.first_layer}, {"layer_count", run.layer_count}};
    if (run.is_attention()) {
      object["attention"] = AttentionJson(*run.attention);
    } else {
      json tensors = json::array();
      for (const NamedTensor& named : run.named_tensors) {
        tensors.push_back({{"name", named.name}, {"size_bytes", named.size_bytes}});
      }
      object["verbatim"] = std::move(tensors);
    }
    runs.push_back(std::move(object));
  }
  return runs;
}

bool ReadLayout(const json& runs, Layout* layout) {
  if (!runs.is_array()) return false;
  for (const json& object : runs) {
    LayerRun& run = layout->emplace_back();
    if (!ReadCount(object, "first_layer", &run.first_layer) || !ReadCount(object, "layer_count", &run.layer_count)) {
      return false;
    }
    const json* attention = FindField(object, "attention");
    const json* verbatim = FindField(object, "verbatim");
    if ((attention == nullptr) == (verbatim == nullptr)) return false;
    if (attention != nullptr ? !ReadAttention(*attention, &run.attention.emplace())
                             : !ReadNamedTensors(*verbatim, &run.named_tensors)) {
      return false;
    }
  }
  return true;
}

}  // namespace chunkkv
