// The bytes of an entry while it is being made: positions lists and tensors at their final offsets.
#ifndef CHUNKKV_SERVICE_SESSION_ENTRY_BODY_H_
#define CHUNKKV_SERVICE_SESSION_ENTRY_BODY_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/types/span.h"
#include "service/format/entry_header.h"
#include "service/session/put_plan.h"
#include "service/session/staging_memory.h"
#include "service/transfer/row_placement.h"

namespace chunkkv {

// Shares its buffer with the parts being written. The layout does not change; distinct tensors may be written by
// distinct threads.
class EntryBody {
 public:
  // `slots` as LayOutBody gives them; `layers` tells the order of each layer's tensors.
  EntryBody(const std::vector<LayerPlan>& layers, std::vector<TensorSlot> slots, BufferPtr buffer);

  // Tensor `tensor` of layer `layer`, in the layer's order.
  TensorSlot& slot(int32_t layer, size_t tensor) { return slots_[slot_of_[layer][tensor]]; }
  const TensorSlot& slot(int32_t layer, size_t tensor) const { return slots_[slot_of_[layer][tensor]]; }
  std::byte* Address(const TensorSlot& slot) const { return buffer_->data() + slot.offset; }
  RowTarget Target(int32_t layer, size_t tensor) const;
  RowsView Rows(int32_t layer, size_t tensor) const;

  // Copies the positions list that begins `offset_rows` positions into the body.
  void WritePositions(int64_t offset_rows, absl::Span<const int32_t> positions);

  const BufferPtr& buffer() const { return buffer_; }
  std::vector<TensorSlot>& slots() { return slots_; }

 private:
  std::vector<TensorSlot> slots_;
  std::vector<std::vector<size_t>> slot_of_;
  BufferPtr buffer_;
};

// Offset, in positions, of each group's list in a body: -1 where all of `token_count` rows are kept and there is none.
std::vector<int64_t> PositionsOffsets(const std::vector<int64_t>& row_counts, int64_t token_count);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_ENTRY_BODY_H_
