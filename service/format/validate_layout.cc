#include <cmath>
#include <set>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/format/layout.h"

namespace chunkkv {
namespace {

// Whether `value` is 0, which stands for a default, or above 0 and finite in float32, in which logits are made.
bool IsDefaultOrFloat(double value) {
  const auto in_float = static_cast<float>(value);
  return value == 0 || (in_float > 0 && std::isfinite(in_float));
}

absl::Status CheckDimension(int64_t value, int64_t least, int64_t most, std::string_view run, std::string_view field) {
  if (value >= least && value <= most) return absl::OkStatus();
  return InvalidArgument("BAD_DIMENSION", absl::StrCat(std::string(run), std::string(field), " is ", value,
                                                       ", must be ", least, " to ", most));
}

bool IsFp8(DType dtype) { return dtype == DType::kF8E4M3 || dtype == DType::kF8E5M2; }

absl::Status CheckDType(DType dtype, std::string_view run, std::string_view field) {
  if (DTypeSize(dtype) != 0) return absl::OkStatus();
  return InvalidArgument("BAD_DTYPE", absl::StrCat(std::string(run), std::string(field), " is unknown or not set"));
}

absl::Status CheckScales(const AttentionRun& attention, const LayoutLimits& limits, const std::string& run) {
  if (!attention.scales.has_value()) {
    if (!IsFp8(attention.key_dtype) && (attention.value_head_size == 0 || !IsFp8(attention.value_dtype))) {
      return absl::OkStatus();
    }
    return InvalidArgument("SCALES_MISSING", run + "scales are required for fp8");
  }
  CHUNKKV_RETURN_IF_ERROR(CheckDType(attention.scales->dtype, run, "scales.dtype"));
  if (IsFp8(attention.scales->dtype))
    return InvalidArgument("BAD_DTYPE", run + "scales.dtype must be F32, F16 or BF16");
  return CheckDimension(attention.scales->scales_per_head, 1, limits.max_head_size, run, "scales.scales_per_head");
}

absl::Status CheckRope(const AttentionRun& attention, const std::string& run) {
  if (!attention.rope.has_value()) return absl::OkStatus();
  const RopeShape& rope = *attention.rope;
  if (rope.first_dim < 0 || rope.rotary_dims < 2 || rope.rotary_dims % 2 != 0 ||
      rope.rotary_dims > attention.key_head_size - rope.first_dim) {
    return InvalidArgument("BAD_ROPE",
                           absl::StrCat(run, "rope: rotary_dims ", rope.rotary_dims, " from first_dim ", rope.first_dim,
                                        " must be even, at least 2 and within head size ", attention.key_head_size));
  }
  if (rope.inv_freq.size() != static_cast<size_t>(rope.rotary_dims / 2)) {
    return InvalidArgument("BAD_ROPE", absl::StrCat(run, "rope.inv_freq has ", rope.inv_freq.size(), " of ",
                                                    rope.rotary_dims / 2, " elements"));
  }
  for (const double frequency : rope.inv_freq) {
    if (!std::isfinite(frequency)) return InvalidArgument("BAD_ROPE", run + "rope.inv_freq has NaN or Inf");
  }
  return absl::OkStatus();
}

absl::Status CheckAttention(const AttentionRun& attention, const LayoutLimits& limits, const std::string& run) {
  CHUNKKV_RETURN_IF_ERROR(CheckDimension(attention.kv_head_count, 1, limits.max_head_count, run, "kv_head_count"));
  CHUNKKV_RETURN_IF_ERROR(
      CheckDimension(attention.query_head_count, 0, limits.max_head_count, run, "query_head_count"));
  CHUNKKV_RETURN_IF_ERROR(CheckDimension(attention.key_head_size, 1, limits.max_head_size, run, "key_head_size"));
  CHUNKKV_RETURN_IF_ERROR(CheckDimension(attention.value_head_size, 0, limits.max_head_size, run, "value_head_size"));
  if (attention.query_head_count % attention.kv_head_count != 0) {
    return InvalidArgument("BAD_HEADS", absl::StrCat(run, "query_head_count ", attention.query_head_count,
                                                     " is not a multiple of kv_head_count ", attention.kv_head_count));
  }
  CHUNKKV_RETURN_IF_ERROR(CheckDType(attention.key_dtype, run, "dtype"));
  CHUNKKV_RETURN_IF_ERROR(CheckDType(attention.value_dtype, run, "value_dtype"));
  if (!IsDefaultOrFloat(attention.scale)) {
    return InvalidArgument("BAD_SCALE", run + "scale must be 0, or finite and above 0 in float32");
  }
  if (!IsDefaultOrFloat(attention.softcap)) {
    return InvalidArgument("BAD_SOFTCAP", run + "softcap must be 0, or finite and above 0 in float32");
  }
  const int32_t query_heads = attention.QueryHeads();
  if (!attention.sink_logits.empty() && attention.sink_logits.size() != static_cast<size_t>(query_heads)) {
    return InvalidArgument("BAD_SINK_LOGITS", absl::StrCat(run, "sink_logits has ", attention.sink_logits.size(),
                                                           " elements for ", query_heads, " query heads"));
  }
  for (const float logit : attention.sink_logits) {
    if (!std::isfinite(logit)) return InvalidArgument("BAD_SINK_LOGITS", run + "sink_logits has NaN or Inf");
  }
  CHUNKKV_RETURN_IF_ERROR(CheckScales(attention, limits, run));
  return CheckRope(attention, run);
}

bool IsTensorName(std::string_view name) {
  if (name.empty() || name.size() > 64) return false;
  for (const char character : name) {
    const bool is_allowed =
        (character >= 'a' && character <= 'z') || (character >= '0' && character <= '9') || character == '_';
    if (!is_allowed) return false;
  }
  return name != "k" && name != "v" && name != "k_scale" && name != "v_scale";
}

absl::Status CheckNamedTensors(const std::vector<NamedTensor>& tensors, const LayoutLimits& limits,
                               const std::string& run) {
  if (tensors.empty()) return InvalidArgument("BAD_TENSOR_NAME", run + "a VERBATIM run needs at least one tensor");
  if (tensors.size() > static_cast<size_t>(limits.max_named_tensor_count)) {
    return InvalidArgument("BAD_TENSOR_NAME", absl::StrCat(run, "at most ", limits.max_named_tensor_count,
                                                           " named tensors a layer, not ", tensors.size()));
  }
  std::set<std::string_view> names;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!IsTensorName(tensors[i].name)) {
      return InvalidArgument(
          "BAD_TENSOR_NAME",
          absl::StrCat(run, "tensors[", i, "].name must be [a-z0-9_]{1,64}, not k v k_scale v_scale"));
    }
    if (!names.insert(tensors[i].name).second) {
      return InvalidArgument("BAD_TENSOR_NAME", absl::StrCat(run, "tensors[", i, "].name is repeated"));
    }
    CHUNKKV_RETURN_IF_ERROR(
        CheckDimension(tensors[i].size_bytes, 1, INT64_MAX, run, absl::StrCat("tensors[", i, "].size_bytes")));
  }
  return absl::OkStatus();
}

// Whether the bytes of `run` over all of its layers and `token_count` tokens, added to *total, stay within 64 bits.
bool AddBytes(const LayerRun& run, int64_t token_count, int64_t* total) {
  int64_t layer_bytes = 0;
  const auto add = [](int64_t left, int64_t right, int64_t* sum) { return !__builtin_add_overflow(left, right, sum); };
  const auto multiply = [](int64_t left, int64_t right, int64_t* product) {
    return !__builtin_mul_overflow(left, right, product);
  };
  if (run.is_attention()) {
    LayerRun one_layer = run;
    one_layer.layer_count = 1;
    int64_t row_bytes = FullBytes({one_layer}, 1);  // at most 3 dimensions of 31 bits in all: heads * sizes
    if (!multiply(row_bytes, token_count, &layer_bytes)) return false;
  } else {
    for (const NamedTensor& named : run.named_tensors) {
      if (!add(layer_bytes, named.size_bytes, &layer_bytes)) return false;
    }
  }
  int64_t run_bytes = 0;
  return multiply(layer_bytes, run.layer_count, &run_bytes) && add(*total, run_bytes, total);
}

}  // namespace

absl::Status ValidateLayout(const Layout& layout, const LayoutLimits& limits) {
  if (layout.empty()) return InvalidArgument("EMPTY_LAYOUT", "layout has no runs");
  int64_t next_layer = 0;
  int64_t total_bytes = 0;
  for (size_t i = 0; i < layout.size(); ++i) {
    const LayerRun& run = layout[i];
    const std::string name = absl::StrCat("layout[", i, "].");
    if (run.first_layer != next_layer) {
      return InvalidArgument("BAD_LAYER_RUNS", absl::StrCat(name, "first_layer is ", run.first_layer, ", must be ",
                                                            next_layer, ": runs are in order, without gaps"));
    }
    if (run.layer_count < 1 || run.layer_count > limits.max_layer_count - next_layer) {
      return InvalidArgument("BAD_LAYER_RUNS",
                             absl::StrCat(name, "layer_count is ", run.layer_count, ", must be at least 1; at most ",
                                          limits.max_layer_count, " layers in all"));
    }
    next_layer += run.layer_count;
    CHUNKKV_RETURN_IF_ERROR(run.is_attention() ? CheckAttention(*run.attention, limits, name)
                                               : CheckNamedTensors(run.named_tensors, limits, name));
    if (!AddBytes(run, limits.max_token_count, &total_bytes)) {
      return InvalidArgument("SIZE_OVERFLOW", name + "the cache's bytes exceed 64 bits");
    }
  }
  if (const int64_t tensors = TensorCount(layout); tensors > limits.max_tensor_count) {
    return InvalidArgument("BAD_TENSOR_NAME", absl::StrCat("layout has ", tensors, " tensors in all, of at most ",
                                                           limits.max_tensor_count));
  }
  return absl::OkStatus();
}

}  // namespace chunkkv
