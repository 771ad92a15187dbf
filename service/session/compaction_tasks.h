// Tasks for the compactor, made of a session's memory.
#ifndef CHUNKKV_SERVICE_SESSION_COMPACTION_TASKS_H_
#define CHUNKKV_SERVICE_SESSION_COMPACTION_TASKS_H_

#include <cstdint>

#include "chunkkv/kernels/compactor.h"
#include "service/session/put_plan.h"

namespace chunkkv {

// Addresses of one scored layer's inputs and of its token scores.
struct ScoreAddresses {
  const std::byte* queries = nullptr;
  const float* lse = nullptr;
  const std::byte* attention = nullptr;
  const float* token_scores_in = nullptr;
  float* token_scores = nullptr;  // out: [P]
};

ScoreTask MakeScoreTask(int32_t attention_layer, const RowsView& keys, const ScoreAddresses& addresses, DType dtype);

// Scratch of the largest batch that a session of this plan runs.
int64_t WorkspaceBytes(const PutPlan& put, DType score_dtype, const Compactor& compactor);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_COMPACTION_TASKS_H_
