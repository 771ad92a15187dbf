#include "service/rpc/wire_layout.h"

#include <string>
#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"

namespace chunkkv::rpc {
namespace {

static_assert(static_cast<int>(DType::kF32) == v1::DTYPE_F32);
static_assert(static_cast<int>(DType::kF8E5M2) == v1::DTYPE_F8_E5M2);

absl::StatusOr<RopeShape> RopeFromWire(const v1::Rope& wire) {
  RopeShape rope;
  rope.first_dim = wire.first_dim();
  rope.rotary_dims = wire.rotary_dims();
  if (wire.pairing() != v1::Rope::HALF && wire.pairing() != v1::Rope::INTERLEAVED) {
    return InvalidArgument("BAD_ROPE", "layout.attention.rope.pairing: unset or unknown");
  }
  rope.interleaved = wire.pairing() == v1::Rope::INTERLEAVED;
  rope.inv_freq.assign(wire.inv_freq().begin(), wire.inv_freq().end());
  return rope;
}

absl::StatusOr<AttentionRun> AttentionFromWire(const v1::AttentionRun& wire) {
  AttentionRun run;
  run.query_head_count = wire.query_head_count();
  run.kv_head_count = wire.kv_head_count();
  run.key_head_size = wire.key_head_size();
  run.value_head_size = wire.value_head_size();
  CHUNKKV_ASSIGN_OR_RETURN(run.key_dtype, DTypeFromWire(wire.dtype(), "layout.attention.dtype"));
  run.value_dtype = run.key_dtype;
  if (wire.value_dtype() != v1::DTYPE_UNSPECIFIED) {
    CHUNKKV_ASSIGN_OR_RETURN(run.value_dtype, DTypeFromWire(wire.value_dtype(), "layout.attention.value_dtype"));
  }
  run.scale = wire.scale();
  run.softcap = wire.softcap();
  run.sink_logits.assign(wire.sink_logits().begin(), wire.sink_logits().end());
  if (wire.has_rope()) {
    CHUNKKV_ASSIGN_OR_RETURN(run.rope, RopeFromWire(wire.rope()));
  }
  if (wire.has_scales()) {
    ScaleShape scales;
    scales.scales_per_head = wire.scales().scales_per_head();
    CHUNKKV_ASSIGN_OR_RETURN(scales.dtype, DTypeFromWire(wire.scales().dtype(), "layout.attention.scales.dtype"));
    run.scales = scales;
  }
  if (!v1::TokenLayout_IsValid(wire.token_layout())) {
    return InvalidArgument("BAD_ENUM", "layout.attention.token_layout: unknown");
  }
  run.head_major_parts = wire.token_layout() == v1::TOKEN_LAYOUT_HEAD_MAJOR;
  return run;
}

void AttentionToWire(const AttentionRun& run, v1::AttentionRun* wire) {
  wire->set_query_head_count(run.query_head_count);
  wire->set_kv_head_count(run.kv_head_count);
  wire->set_key_head_size(run.key_head_size);
  wire->set_value_head_size(run.value_head_size);
  wire->set_dtype(ToWire(run.key_dtype));
  wire->set_value_dtype(ToWire(run.value_dtype));
  wire->set_scale(run.scale);
  wire->set_softcap(run.softcap);
  wire->mutable_sink_logits()->Add(run.sink_logits.begin(), run.sink_logits.end());
  if (run.rope) {
    wire->mutable_rope()->set_first_dim(run.rope->first_dim);
    wire->mutable_rope()->set_rotary_dims(run.rope->rotary_dims);
    wire->mutable_rope()->set_pairing(run.rope->interleaved ? v1::Rope::INTERLEAVED : v1::Rope::HALF);
    wire->mutable_rope()->mutable_inv_freq()->Add(run.rope->inv_freq.begin(), run.rope->inv_freq.end());
  }
  if (run.scales) {
    wire->mutable_scales()->set_scales_per_head(run.scales->scales_per_head);
    wire->mutable_scales()->set_dtype(ToWire(run.scales->dtype));
  }
  wire->set_token_layout(v1::TOKEN_LAYOUT_TOKEN_MAJOR);  // as stored and served
}

}  // namespace

absl::StatusOr<DType> DTypeFromWire(int dtype, std::string_view field) {
  if (dtype >= v1::DTYPE_F32 && dtype <= v1::DTYPE_F8_E5M2) return static_cast<DType>(dtype);
  return InvalidArgument("BAD_DTYPE", std::string(field) + ": unset or unknown dtype " + std::to_string(dtype));
}

v1::DType ToWire(DType dtype) { return static_cast<v1::DType>(dtype); }

absl::StatusOr<Layout> LayoutFromWire(const WireLayout& wire) {
  Layout layout;
  layout.reserve(wire.size());
  for (const v1::LayerRun& wire_run : wire) {
    LayerRun run;
    run.first_layer = wire_run.first_layer();
    run.layer_count = wire_run.layer_count();
    switch (wire_run.kind_case()) {
      case v1::LayerRun::kAttention: {
        CHUNKKV_ASSIGN_OR_RETURN(run.attention, AttentionFromWire(wire_run.attention()));
        break;
      }
      case v1::LayerRun::kVerbatim:
        for (const auto& tensor : wire_run.verbatim().tensors()) {
          run.named_tensors.push_back({tensor.name(), tensor.size_bytes()});
        }
        break;
      case v1::LayerRun::KIND_NOT_SET:
        return InvalidArgument("LAYER_KIND_UNSET", "layout: a run is neither attention nor verbatim");
    }
    layout.push_back(std::move(run));
  }
  return layout;
}

void ToWire(const Layout& layout, WireLayout* wire) {
  for (const LayerRun& run : layout) {
    v1::LayerRun* wire_run = wire->Add();
    wire_run->set_first_layer(run.first_layer);
    wire_run->set_layer_count(run.layer_count);
    if (run.is_attention()) {
      AttentionToWire(*run.attention, wire_run->mutable_attention());
      continue;
    }
    v1::VerbatimRun* verbatim = wire_run->mutable_verbatim();
    for (const NamedTensor& tensor : run.named_tensors) {
      auto* wire_tensor = verbatim->add_tensors();
      wire_tensor->set_name(tensor.name);
      wire_tensor->set_size_bytes(tensor.size_bytes);
    }
  }
}

}  // namespace chunkkv::rpc
