#include "kernels/plan/check_shape.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/limits.h"
#include "chunkkv/kernels/status.h"

namespace chunkkv {
namespace {

// Whether `value` is 0, which stands for a default, or above 0 and finite in float32, in which logits are made.
bool IsDefaultOrFloat(double value) {
  const auto in_float = static_cast<float>(value);
  return value == 0 || (in_float > 0 && std::isfinite(in_float));
}

absl::Status CheckLayer(const AttentionShape& layer, const std::string& field) {
  if (layer.kv_head_count < 1 || layer.kv_head_count > kMaxHeadCount) {
    return InvalidArgument("BAD_HEAD_COUNT", absl::StrCat(field, ".kv_head_count must be 1 to ", kMaxHeadCount));
  }
  if (layer.query_head_count < 1 || layer.query_head_count > kMaxHeadCount ||
      layer.query_head_count % layer.kv_head_count != 0) {
    return InvalidArgument("BAD_HEAD_COUNT", absl::StrCat(field, ".query_head_count ", layer.query_head_count,
                                                          " is not a multiple of ", layer.kv_head_count, " KV heads"));
  }
  if (layer.key_head_size < 1 || layer.key_head_size > kMaxHeadSize) {
    return InvalidArgument("BAD_HEAD_SIZE", absl::StrCat(field, ".key_head_size must be 1 to ", kMaxHeadSize));
  }
  if (layer.value_head_size < 0 || layer.value_head_size > kMaxHeadSize) {
    return InvalidArgument("BAD_HEAD_SIZE", absl::StrCat(field, ".value_head_size must be 0 to ", kMaxHeadSize));
  }
  if (DTypeSize(layer.dtype) == 0) return InvalidArgument("BAD_DTYPE", absl::StrCat(field, ".dtype is unknown"));
  if (!IsDefaultOrFloat(layer.scale)) {
    return InvalidArgument("BAD_SCALE", absl::StrCat(field, ".scale must be finite and above 0 in float32"));
  }
  if (!IsDefaultOrFloat(layer.softcap)) {
    return InvalidArgument("BAD_SOFTCAP", absl::StrCat(field, ".softcap must be finite and above 0 in float32"));
  }
  if (!layer.sink_logits.empty() && layer.sink_logits.size() != static_cast<size_t>(layer.query_head_count)) {
    return InvalidArgument("BAD_SINK_LOGITS", absl::StrCat(field, ".sink_logits must have one element per query head"));
  }
  for (const float logit : layer.sink_logits) {
    if (!std::isfinite(logit))
      return InvalidArgument("BAD_SINK_LOGITS", absl::StrCat(field, ".sink_logits: NaN or Inf"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckShape(const CompactionShape& shape) {
  if (shape.token_count < 1 || shape.token_count > kMaxTokenCount) {
    return InvalidArgument("BAD_TOKEN_COUNT", absl::StrCat("token_count must be 1 to ", kMaxTokenCount));
  }
  if (shape.layers.empty() || shape.layers.size() > static_cast<size_t>(kMaxLayerCount)) {
    return InvalidArgument("BAD_LAYER_COUNT", absl::StrCat("layers must be 1 to ", kMaxLayerCount));
  }
  if (ScoreSourceName(shape.source).empty()) return InvalidArgument("BAD_SCORE_SOURCE", "score source is unknown");
  if (shape.has_lse && shape.source != ScoreSource::kQueryWindow) {
    return InvalidArgument("BAD_SCORE_SOURCE", "lse goes with the score source query_window only");
  }
  for (size_t i = 0; i < shape.layers.size(); ++i) {
    if (absl::Status status = CheckLayer(shape.layers[i], absl::StrCat("layers[", i, "]")); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace chunkkv
