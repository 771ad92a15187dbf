// The worst case of a put's memory, known before any byte arrives.
#ifndef CHUNKKV_SERVICE_SESSION_STAGING_PLAN_H_
#define CHUNKKV_SERVICE_SESSION_STAGING_PLAN_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "chunkkv/kernels/compactor.h"
#include "service/format/entry_header.h"
#include "service/session/put_plan.h"
#include "service/session/put_request.h"

namespace chunkkv {

struct SessionLimits;

// All sizes in bytes, as charged to the budget (whole pages) where they are sums of buffers.
struct StagingPlan {
  int64_t positions_bytes = 0;      // before the first slot of the body
  std::vector<TensorSlot> slots;    // of the body that rows are placed in
  int64_t body_bytes = 0;           // exact
  int64_t largest_entry_bytes = 0;  // exact: of the bodies that may become the entry's
  int64_t final_body_bytes = 0;     // charged: the body made at the end, where it is another one
  int64_t layer_buffer_bytes =
      0;  // LAYER_MAJOR: one size for every staged layer, so that buffers are reused; 0: own size
  int64_t layer_staging_bytes = 0;     // charged, all layers staged at once
  int64_t score_bytes = 0;             // charged: score inputs and token scores
  int64_t attention_buffer_bytes = 0;  // LAYER_MAJOR: one size for every layer's attention, likewise
  int64_t attention_bytes = 0;         // charged, all layers staged at once
  int64_t workspace_bytes = 0;         // exact
  int64_t sink_buffer_bytes = 0;       // one part's bytes that nobody keeps; 0: there are none
  int64_t sink_count = 0;
  int64_t bookkeeping_bytes = 0;  // positions lists outside of the body, and the session itself
  int64_t header_bytes = 0;       // the entry's header and its place in the index, handed to the store at the end

  int64_t ReservedBytes() const;
};

// Sum of the tensors' rows of one layer at `token_count` tokens, each tensor 64-aligned.
int64_t LayerStageBytes(const LayerPlan& layer, int64_t token_count);
// Queries, LSE, token scores in and out of one scored layer, each 64-aligned; attention is apart.
int64_t ScoreBufferBytes(const ScoreInputBytes& bytes, const Plan& plan);

// Errors: INVALID_ARGUMENT (SIZE_OVERFLOW).
absl::StatusOr<StagingPlan> MakeStagingPlan(const PutRequest& request, const PutPlan& put, const SessionLimits& limits,
                                            const Compactor& compactor);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_STAGING_PLAN_H_
