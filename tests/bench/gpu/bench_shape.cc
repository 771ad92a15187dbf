#include "tests/bench/gpu/bench_shape.h"

#include "absl/strings/str_format.h"

namespace chunkkv::bench {
namespace {

const char* LayoutName(Layout layout) {
  switch (layout) {
    case Layout::kTokenMajor:
      return "token_major";
    case Layout::kHeadMajor:
      return "head_major";
    case Layout::kPaged:
      break;
  }
  return "paged";
}

}  // namespace

std::string BenchShape::Name() const {
  return absl::StrFormat("%s/%s/%d/%g/%d/%d/%s/%s", bench, model, tokens, keep, window, reuse, LayoutName(layout),
                         DTypeName(dtype));
}

AttentionShape BenchShape::Attention() const {
  AttentionShape attention;
  attention.query_head_count = model == "llama8b" ? 32 : 64;
  attention.kv_head_count = 8;
  attention.key_head_size = attention.value_head_size = 128;
  attention.dtype = dtype;
  return attention;
}

int32_t BenchShape::LayerCount() const {
  if (layer_count > 0) return layer_count;
  return model == "llama8b" ? 32 : 80;
}

int64_t BenchShape::LayerBytes() const {
  const AttentionShape attention = Attention();
  return tokens * attention.kv_head_count * attention.key_head_size * static_cast<int64_t>(DTypeSize(dtype));
}

Plan BenchShape::MakePlan(bool has_lse) const {
  CompactionShape shape;
  shape.token_count = tokens;
  shape.layers.assign(LayerCount(), Attention());
  shape.source = ScoreSource::kQueryWindow;
  shape.has_lse = has_lse;
  CompactionSpec spec;
  spec.policy = Policy::kChunkKv;
  spec.keep_ratio = keep;
  spec.window_length = window;
  spec.reuse_group = reuse;
  return chunkkv::MakePlan(spec, shape).value();
}

}  // namespace chunkkv::bench
