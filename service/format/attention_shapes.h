// A layout's attention layers as compaction sees them.
#ifndef CHUNKKV_SERVICE_FORMAT_ATTENTION_SHAPES_H_
#define CHUNKKV_SERVICE_FORMAT_ATTENTION_SHAPES_H_

#include <vector>

#include "chunkkv/kernels/plan.h"
#include "service/format/layout.h"

namespace chunkkv {

// One element an attention layer, in order. Query heads that are not stated are as many as KV heads.
std::vector<AttentionShape> AttentionShapes(const Layout& layout);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_ATTENTION_SHAPES_H_
