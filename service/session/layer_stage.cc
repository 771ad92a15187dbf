#include "service/session/layer_stage.h"

#include "service/session/checked_bytes.h"

namespace chunkkv {

RowTarget LayerStage::Target(size_t tensor) const {
  std::byte* data = buffer_->data();
  for (size_t i = 0; i < tensor; ++i) data += AlignedBytes(layer_.tensors[i].row_bytes * token_count_);
  const TensorSpec& spec = layer_.tensors[tensor];
  return layer_.head_major_parts ? HeadMajorTarget(data, spec, token_count_) : TokenMajorTarget(data, spec);
}

int64_t LayerStage::RowBytes() const {
  int64_t bytes = 0;
  for (const TensorSpec& spec : layer_.tensors) bytes += spec.row_bytes * token_count_;
  return bytes;
}

}  // namespace chunkkv
