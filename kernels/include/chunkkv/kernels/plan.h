// A Plan is a CompactionSpec made definite for one prompt: defaults filled in, budget computed, groups laid out.
// It is a value: cheap to copy, immutable by convention, safe to share between threads.
#ifndef CHUNKKV_KERNELS_PLAN_H_
#define CHUNKKV_KERNELS_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "chunkkv/kernels/dtype.h"
#include "chunkkv/kernels/spec.h"

namespace chunkkv {

// Shape and logit arithmetic of one attention layer.
struct AttentionShape {
  int32_t query_head_count = 0;  // H; a multiple of kv_head_count
  int32_t kv_head_count = 0;     // Hkv
  int32_t key_head_size = 0;     // D
  int32_t value_head_size = 0;   // Dv; 0: no V tensor
  DType dtype = DType::kF32;
  bool has_key_scales = false;     // of fp8: ScoreTask::key_scales are given, and keys can be scored
  double scale = 0;                // of the logits; 0: 1 / sqrt(D)
  double softcap = 0;              // logit = softcap * tanh(logit / softcap); 0: none
  std::vector<float> sink_logits;  // [H] or empty: one more term in each softmax's denominator
};

struct CompactionShape {
  int64_t token_count = 0;             // L
  std::vector<AttentionShape> layers;  // [N], attention layers only
  ScoreSource source = ScoreSource::kNone;
  bool has_lse = false;
  bool is_sharded = false;  // tp_size or pp_size above 1: only OnLowMass::kFail
};

// What made the budget differ from the plain request; several may hold.
struct BudgetChange {
  bool raised_to_window = false;     // a ratio's budget below window + sinks
  bool rounded_to_multiple = false;  // budget_multiple
  bool everything_kept = false;      // L <= w or B >= L
};

struct Plan {
  Policy policy = Policy::kFull;
  ScoreSource source = ScoreSource::kNone;
  bool has_lse = false;
  int64_t token_count = 0;    // L
  int64_t window_length = 0;  // w, as asked; may exceed L
  int64_t past_length = 0;    // P = max(0, L - w): length of a list of token scores
  int64_t sink_tokens = 0;
  int64_t budget = 0;  // B; equals L where everything is kept; 0 for kExternal, whose lists decide
  BudgetChange budget_change;
  int32_t chunk_length = 10;
  std::vector<int32_t> chunk_starts;  // within [sink_tokens, P); empty: grid of chunk_length
  ChunkReduce chunk_reduce = ChunkReduce::kSum;
  int32_t pool = 1;
  double recent_ratio = 0.5;
  int32_t budget_multiple = 1;
  bool has_min_retained_mass = false;
  double min_retained_mass = 0;
  OnLowMass on_low_mass = OnLowMass::kFail;
  int64_t max_raised_tokens = 0;
  std::vector<ReuseGroup> groups;      // cover [0, N) in order
  std::vector<AttentionShape> layers;  // [N]; scale resolved

  bool KeepsEverything() const { return budget >= token_count; }
  // Whether the policy chooses by token scores and a source gives them, so that scored layers exist.
  bool NeedsScores() const;
  // Whether `layer` chooses for its group, as leader or under SUM. Where everything is kept no score decides: such
  // layers need not be scored, and in fp8 cannot be from queries.
  bool IsScored(int32_t layer) const;
  int32_t GroupOf(int32_t layer) const;
};

// Resolves `spec` for `shape`. Errors: INVALID_ARGUMENT with a reason that names the field (BUDGET_BELOW_WINDOW,
// BAD_KEEP_RATIO, BAD_CHUNK_STARTS, ...); UNIMPLEMENTED (SCORING_FP8) where a scored layer's keys are fp8 without scales and its
// scores would come from queries. Source: arXiv 2502.00299 section 3, and the budget rules of the design.
absl::StatusOr<Plan> MakePlan(const CompactionSpec& spec, const CompactionShape& shape);

// Whether scores decide through their sums over whole chunks alone: SUM or MEAN, and no pooling.
bool AllowsChunkMeans(const Plan& plan);

// The budget that RAISE_BUDGET tries after `budget`: doubled and rounded up to the plan's multiple; at most
// max_raised_tokens, which is rounded down to it, or L. Equals `budget` where nothing is left to raise.
int64_t RaisedBudget(const Plan& plan, int64_t budget);

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_PLAN_H_
