// Bounds of everything a Plan is made from, before any arithmetic on it.
#ifndef CHUNKKV_KERNELS_PLAN_CHECK_SHAPE_H_
#define CHUNKKV_KERNELS_PLAN_CHECK_SHAPE_H_

#include "absl/status/status.h"
#include "chunkkv/kernels/plan.h"

namespace chunkkv {

// Errors: INVALID_ARGUMENT BAD_TOKEN_COUNT, BAD_LAYER_COUNT, BAD_HEAD_COUNT, BAD_HEAD_SIZE, BAD_DTYPE, BAD_SCALE,
// BAD_SOFTCAP, BAD_SINK_LOGITS, BAD_SCORE_SOURCE.
absl::Status CheckShape(const CompactionShape& shape);

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_PLAN_CHECK_SHAPE_H_
