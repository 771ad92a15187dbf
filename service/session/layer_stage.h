// Rows of one layer that wait for their group's selection.
#ifndef CHUNKKV_SERVICE_SESSION_LAYER_STAGE_H_
#define CHUNKKV_SERVICE_SESSION_LAYER_STAGE_H_

#include <cstdint>
#include <utility>

#include "chunkkv/kernels/tensor_view.h"
#include "service/session/put_plan.h"
#include "service/session/staging_memory.h"
#include "service/transfer/row_placement.h"

namespace chunkkv {

// Tensors one after the other, each 64-aligned, in the order of their heads and tokens as sent: a head-major part then
// arrives in a few pieces. Shares its buffer. The bytes are not thread-safe by themselves.
class LayerStage {
 public:
  // `buffer` holds at least LayerStageBytes(layer, token_count); `layer` must outlive the stage.
  LayerStage(const LayerPlan& layer, int64_t token_count, BufferPtr buffer)
      : layer_(layer), token_count_(token_count), buffer_(std::move(buffer)) {}

  RowTarget Target(size_t tensor) const;
  RowsView Rows(size_t tensor) const { return ViewOf(Target(tensor), layer_.tensors[tensor], token_count_); }
  const BufferPtr& buffer() const { return buffer_; }
  BufferPtr TakeBuffer() { return std::move(buffer_); }
  // Without padding: what is reported as staged.
  int64_t RowBytes() const;

 private:
  const LayerPlan& layer_;
  const int64_t token_count_;
  BufferPtr buffer_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_LAYER_STAGE_H_
