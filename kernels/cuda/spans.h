// Spans of a group's candidates, as kernels see them (kernels/common/candidates.h).
#ifndef CHUNKKV_KERNELS_CUDA_SPANS_H_
#define CHUNKKV_KERNELS_CUDA_SPANS_H_

#include <cstdint>

#include "kernels/simt/simt.h"

namespace chunkkv::cuda {

struct DeviceSpans {
  int32_t begin;  // candidates: tokens [begin, end)
  int32_t end;
  int32_t length;  // of a grid's spans
  int32_t count;
  const int32_t* given;  // starts of given spans, the first clipped to begin; null: a grid
};

CHUNKKV_DEVICE int32_t SpanBegin(const DeviceSpans& spans, int32_t span) {
  if (spans.given == nullptr || span == 0) return spans.begin + span * spans.length;
  return simt::Load(spans.given + span);
}

CHUNKKV_DEVICE int32_t SpanEnd(const DeviceSpans& spans, int32_t span) {
  return span + 1 == spans.count ? spans.end : SpanBegin(spans, span + 1);
}

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_SPANS_H_
