#include "service/session/entry_body.h"

#include <cstring>
#include <utility>

#include "service/base/check.h"

namespace chunkkv {

EntryBody::EntryBody(const std::vector<LayerPlan>& layers, std::vector<TensorSlot> slots, BufferPtr buffer)
    : slots_(std::move(slots)), slot_of_(layers.size()), buffer_(std::move(buffer)) {
  for (const LayerPlan& layer : layers) slot_of_[layer.layer].resize(layer.tensors.size());
  for (size_t i = 0; i < slots_.size(); ++i) {
    const TensorSpec& spec = slots_[i].spec;
    const std::vector<TensorSpec>& tensors = layers[spec.layer].tensors;
    for (size_t tensor = 0; tensor < tensors.size(); ++tensor) {
      if (tensors[tensor].kind == spec.kind && tensors[tensor].name == spec.name) slot_of_[spec.layer][tensor] = i;
    }
  }
}

RowTarget EntryBody::Target(int32_t layer, size_t tensor) const {
  const TensorSlot& at = slot(layer, tensor);
  return TokenMajorTarget(Address(at), at.spec);
}

RowsView EntryBody::Rows(int32_t layer, size_t tensor) const {
  const TensorSlot& at = slot(layer, tensor);
  return ViewOf(TokenMajorTarget(Address(at), at.spec), at.spec, at.row_count);
}

void EntryBody::WritePositions(int64_t offset_rows, absl::Span<const int32_t> positions) {
  if (positions.empty()) return;
  std::memcpy(buffer_->data() + offset_rows * sizeof(int32_t), positions.data(), positions.size() * sizeof(int32_t));
}

std::vector<int64_t> PositionsOffsets(const std::vector<int64_t>& row_counts, int64_t token_count) {
  std::vector<int64_t> offsets;
  int64_t next = 0;
  for (const int64_t rows : row_counts) {
    offsets.push_back(rows < token_count ? next : -1);
    if (rows < token_count) next += rows;
  }
  return offsets;
}

}  // namespace chunkkv
