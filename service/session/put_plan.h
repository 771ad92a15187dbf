// A put request made definite: which layers are compacted, what is scored, and where arriving rows go.
#ifndef CHUNKKV_SERVICE_SESSION_PUT_PLAN_H_
#define CHUNKKV_SERVICE_SESSION_PUT_PLAN_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "chunkkv/kernels/plan.h"
#include "service/format/layout.h"
#include "service/session/put_request.h"

namespace chunkkv {

struct SessionLimits;

enum class RowPlace : uint8_t {
  kBody,        // every row that is sent has its place in the body: nothing is staged
  kKeptInBody,  // positions are known before any row: kept rows go to the body, the others nowhere
  kStaged,      // rows wait outside of the body for their group's selection
};

// One layer of the shard.
struct LayerPlan {
  int32_t layer = 0;
  int32_t attention_layer = -1;  // its index among attention layers; -1: VERBATIM
  int32_t group = -1;
  bool is_scored = false;  // its token scores are computed here
  bool head_major_parts = false;
  std::vector<TensorSpec> tensors;
};

// Bytes of one attention layer's score inputs, 0 for those that the source does not have.
struct ScoreInputBytes {
  int64_t queries = 0;       // [w', H, D], w' = min(w, L)
  int64_t lse = 0;           // float32 [w', H]
  int64_t attention = 0;     // [H, w', L]
  int64_t token_scores = 0;  // float32 [P]
};

// Immutable once made; safe to share between threads.
struct PutPlan {
  Plan plan;
  std::vector<LayerPlan> layers;             // of the shard, VERBATIM ones included
  std::vector<ScoreInputBytes> score_bytes;  // per attention layer
  std::vector<int32_t> layer_of_attention;   // per attention layer: its index in the shard

  bool keeps_everything = false;  // known now: all rows of [0, L)
  bool is_external = false;
  bool selects_first = false;  // SELECT_THEN_SEND
  bool is_scored = false;      // some layer is
  // No selection is final before every scored layer has been seen (RAISE_BUDGET, KEEP_FULL).
  bool decides_last = false;
  RowPlace row_place = RowPlace::kBody;
  RangeKind row_range = RangeKind::kTokens;  // how rows are sent
  // The largest budget below L that may be selected; above plan.budget only under RAISE_BUDGET.
  int64_t largest_budget = 0;
  // Rows per group of the body that rows are placed in: those of the entry, but L where decides_last.
  std::vector<int64_t> row_counts;
  // LAYER_MAJOR with staged rows: layers from the lowest unreduced one on that may be staged; 0: no bound.
  int32_t staged_layers = 0;
  // LAYER_MAJOR: scored layers whose attention may be staged; 0: no bound.
  int32_t staged_attention = 0;
};

// Errors: INVALID_ARGUMENT and UNIMPLEMENTED of ValidateLayout and MakePlan, and:
// - BAD_TTL, BAD_PIN, PIN_TOO_LONG, BAD_NEXT_POSITION, KEYS_CONTIGUOUS (not external)
// - PROFILE_AND_GROUPS, PROFILE_LAYERS (of another number of attention layers)
// - LABEL_MISSING, BAD_ROW_COUNTS (external), NO_ATTENTION_LAYERS (a policy that compacts)
// - BAD_SCORE_DTYPE, SCORES_MISSING
// - SELECT_EXTERNAL; UNIMPLEMENTED: REGIONS (select-then-send from queries), CONTENT_DIGEST (of rows never sent)
// - RESOURCE_EXHAUSTED: TOO_MANY_POSITIONS
absl::StatusOr<PutPlan> MakePutPlan(const PutRequest& request, const SessionLimits& limits);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_PUT_PLAN_H_
