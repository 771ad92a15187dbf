// What a spec may say, whatever it is asked of.
#ifndef CHUNKKV_KERNELS_CHECK_SPEC_H_
#define CHUNKKV_KERNELS_CHECK_SPEC_H_

#include "absl/status/status.h"
#include "chunkkv/kernels/plan.h"

namespace chunkkv {

// Bounds of each number of `spec`, and what its fields may not say together, for any model and prompts of any length.
// Whether chunk_starts fit a prompt is CheckChunkStarts; groups, or the profile in their place, are a model's.
// Errors: INVALID_ARGUMENT BAD_POLICY, BAD_KEEP_RATIO, BAD_MAX_TOKENS, BUDGET_AMBIGUOUS, BUDGET_MISSING,
// BUDGET_NOT_ALLOWED, BAD_CHUNK_LENGTH, BAD_WINDOW_LENGTH, BAD_SINK_TOKENS, BAD_POOL, BAD_RECENT_RATIO,
// BAD_BUDGET_MULTIPLE, BAD_REUSE_GROUP, BAD_MIN_RETAINED_MASS, BAD_MAX_RAISED_TOKENS, BAD_CHUNK_REDUCE,
// BAD_GROUP_SCORE, BAD_ON_LOW_MASS.
absl::Status CheckSpec(const CompactionSpec& spec);

// Errors: INVALID_ARGUMENT BAD_CHUNK_STARTS: unsorted, repeated, at or past token_count, or, where chunks are used
// (chunk_kv), not beginning at sink_tokens.
absl::Status CheckChunkStarts(const CompactionSpec& spec, int64_t token_count, int64_t sink_tokens);

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_CHECK_SPEC_H_
