// The layers of an entry: runs of consecutive layers of one kind.
#ifndef CHUNKKV_SERVICE_FORMAT_LAYOUT_H_
#define CHUNKKV_SERVICE_FORMAT_LAYOUT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "chunkkv/kernels/compactor.h"
#include "chunkkv/kernels/dtype.h"

namespace chunkkv {

struct ScaleShape {
  int32_t scales_per_head = 0;
  DType dtype = DType::kF32;
};

struct AttentionRun {
  int32_t query_head_count = 0;  // a multiple of kv_head_count; 0: kv_head_count
  int32_t kv_head_count = 0;
  int32_t key_head_size = 0;
  int32_t value_head_size = 0;  // 0: no V tensor
  DType key_dtype = DType::kF32;
  DType value_dtype = DType::kF32;
  double scale = 0;  // 0: 1 / sqrt(key_head_size)
  double softcap = 0;
  std::vector<float> sink_logits;
  std::optional<RopeShape> rope;
  std::optional<ScaleShape> scales;
  bool head_major_parts = false;  // parts arrive as [heads, tokens, head size]; stored rows are always token-major
  int32_t QueryHeads() const { return query_head_count == 0 ? kv_head_count : query_head_count; }
};

struct NamedTensor {
  std::string name;
  int64_t size_bytes = 0;
};

struct LayerRun {
  int32_t first_layer = 0;
  int32_t layer_count = 0;
  std::optional<AttentionRun> attention;   // else VERBATIM
  std::vector<NamedTensor> named_tensors;  // VERBATIM
  bool is_attention() const { return attention.has_value(); }
};

using Layout = std::vector<LayerRun>;

struct LayoutLimits {
  int32_t max_layer_count = 1024;
  int32_t max_head_count = 1024;
  int32_t max_head_size = 1024;
  int64_t max_token_count = int64_t{1} << 24;
  int32_t max_named_tensor_count = 64;  // a VERBATIM layer
  int64_t max_tensor_count = 16'384;    // of all layers, per-token ones included
};

// Errors: INVALID_ARGUMENT: EMPTY_LAYOUT, BAD_LAYER_RUNS (order, gaps, overlap, count), BAD_DIMENSION, BAD_DTYPE,
// BAD_HEADS (query heads not a multiple of KV heads), BAD_SCALE, BAD_SOFTCAP, BAD_SINK_LOGITS, SCALES_MISSING (fp8),
// BAD_ROPE, BAD_TENSOR_NAME (also: too many tensors, in a layer or in all), SIZE_OVERFLOW (of max_token_count tokens).
absl::Status ValidateLayout(const Layout& layout, const LayoutLimits& limits);

int32_t LayerCount(const Layout& layout);
int32_t AttentionLayerCount(const Layout& layout);
// Null where `layer` is out of range.
const LayerRun* FindRun(const Layout& layout, int32_t layer);
// Numbers of the attention layers, in order: groups count layers by their place in it.
std::vector<int32_t> AttentionLayers(const Layout& layout);
// Index among attention layers, -1 for a VERBATIM layer.
int32_t AttentionIndex(const Layout& layout, int32_t layer);

enum class TensorKind : uint8_t { kKeys = 1, kValues = 2, kKeyScales = 3, kValueScales = 4, kNamed = 5 };

// One stored tensor. Per-token tensors have `row_bytes` a token; a VERBATIM tensor has size_bytes.
struct TensorSpec {
  int32_t layer = 0;
  TensorKind kind = TensorKind::kKeys;
  std::string name;  // "k" "v" "k_scale" "v_scale", or the named tensor's name: layers.<layer>.<name> in a record
  DType dtype = DType::kF32;  // per-token tensors
  int32_t head_count = 0;
  int32_t head_size = 0;
  int64_t row_bytes = 0;   // per-token tensors: head_count * head_size * dtype size
  int64_t size_bytes = 0;  // VERBATIM tensors
  bool is_per_token() const { return kind != TensorKind::kNamed; }
  int64_t head_bytes() const { return int64_t{head_size} * static_cast<int64_t>(DTypeSize(dtype)); }  // of one token
};

// Name of a tensor in a record, a prompt file and an error: "layers.<layer>.<name>".
std::string TensorName(const TensorSpec& spec);

// Tensors of `layer`, in the order they are served: k, v, k_scale, v_scale; or the named ones as declared.
std::vector<TensorSpec> LayerTensors(const Layout& layout, int32_t layer);

// Tensors of all layers.
int64_t TensorCount(const Layout& layout);

// Bytes of the uncompacted cache of `token_count` tokens. The layout must be valid.
int64_t FullBytes(const Layout& layout, int64_t token_count);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_LAYOUT_H_
