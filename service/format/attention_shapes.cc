#include "service/format/attention_shapes.h"

namespace chunkkv {

std::vector<AttentionShape> AttentionShapes(const Layout& layout) {
  std::vector<AttentionShape> shapes;
  for (const LayerRun& run : layout) {
    if (!run.is_attention()) continue;
    const AttentionRun& attention = *run.attention;
    AttentionShape shape;
    shape.query_head_count = attention.QueryHeads();
    shape.kv_head_count = attention.kv_head_count;
    shape.key_head_size = attention.key_head_size;
    shape.value_head_size = attention.value_head_size;
    shape.dtype = attention.key_dtype;
    shape.scale = attention.scale;
    shape.softcap = attention.softcap;
    shape.sink_logits = attention.sink_logits;
    shapes.insert(shapes.end(), run.layer_count, shape);
  }
  return shapes;
}

}  // namespace chunkkv
