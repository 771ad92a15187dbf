#include "chunkkv/kernels/check_spec.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/limits.h"
#include "chunkkv/kernels/status.h"

namespace chunkkv {
namespace {

template <typename T>
bool IsOutside(const std::optional<T>& value, T least, T most) {
  return value.has_value() && !(*value >= least && *value <= most);  // NaN is outside
}

absl::Status CheckBudgetFields(const CompactionSpec& spec) {
  const bool has_ratio = spec.keep_ratio.has_value();
  const bool has_tokens = spec.max_tokens.has_value();
  if (has_ratio && !(*spec.keep_ratio > 0 && *spec.keep_ratio <= 1)) {
    return InvalidArgument("BAD_KEEP_RATIO", "keep_ratio must be in (0, 1]");
  }
  if (has_tokens && *spec.max_tokens < 1) return InvalidArgument("BAD_MAX_TOKENS", "max_tokens must be at least 1");
  if (spec.policy == Policy::kFull || spec.policy == Policy::kExternal) {
    if (has_ratio || has_tokens) {
      return InvalidArgument("BUDGET_NOT_ALLOWED", "policies full and external take neither keep_ratio nor max_tokens");
    }
    return absl::OkStatus();
  }
  if (has_ratio && has_tokens) return InvalidArgument("BUDGET_AMBIGUOUS", "both keep_ratio and max_tokens are set");
  if (!has_ratio && !has_tokens)
    return InvalidArgument("BUDGET_MISSING", "one of keep_ratio and max_tokens must be set");
  return absl::OkStatus();
}

absl::Status CheckNames(const CompactionSpec& spec) {
  if (PolicyName(spec.policy).empty()) return InvalidArgument("BAD_POLICY", "policy is unknown");
  if (spec.chunk_reduce.has_value() && ChunkReduceName(*spec.chunk_reduce).empty()) {
    return InvalidArgument("BAD_CHUNK_REDUCE", "chunk_reduce is unknown");
  }
  if (spec.group_score.has_value() && GroupScoreName(*spec.group_score).empty()) {
    return InvalidArgument("BAD_GROUP_SCORE", "group_score is unknown");
  }
  if (spec.on_low_mass.has_value() && OnLowMassName(*spec.on_low_mass).empty()) {
    return InvalidArgument("BAD_ON_LOW_MASS", "on_low_mass is unknown");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckSpec(const CompactionSpec& spec) {
  if (absl::Status status = CheckNames(spec); !status.ok()) return status;
  if (absl::Status status = CheckBudgetFields(spec); !status.ok()) return status;
  if (IsOutside(spec.chunk_length, 1, kMaxChunkLength)) {
    return InvalidArgument("BAD_CHUNK_LENGTH", absl::StrCat("chunk_length must be 1 to ", kMaxChunkLength));
  }
  if (IsOutside(spec.window_length, 1, kMaxWindowLength)) {
    return InvalidArgument("BAD_WINDOW_LENGTH", absl::StrCat("window_length must be 1 to ", kMaxWindowLength));
  }
  if (IsOutside(spec.sink_tokens, 0, INT32_MAX)) {
    return InvalidArgument("BAD_SINK_TOKENS", "sink_tokens must not be negative");
  }
  if (IsOutside(spec.pool, 1, kMaxPool) || spec.pool.value_or(1) % 2 == 0) {
    return InvalidArgument("BAD_POOL", absl::StrCat("pool must be odd, 1 to ", kMaxPool));
  }
  if (IsOutside(spec.recent_ratio, 0.0, 1.0)) {
    return InvalidArgument("BAD_RECENT_RATIO", "recent_ratio must be in [0, 1]");
  }
  if (IsOutside(spec.budget_multiple, 1, kMaxBudgetMultiple)) {
    return InvalidArgument("BAD_BUDGET_MULTIPLE", absl::StrCat("budget_multiple must be 1 to ", kMaxBudgetMultiple));
  }
  if (IsOutside(spec.reuse_group, 1, INT32_MAX)) {
    return InvalidArgument("BAD_REUSE_GROUP", "reuse_group must be at least 1");
  }
  if (IsOutside(spec.min_retained_mass, 0.0, 1.0)) {
    return InvalidArgument("BAD_MIN_RETAINED_MASS", "min_retained_mass must be in [0, 1]");
  }
  if (IsOutside<int64_t>(spec.max_raised_tokens, 1, INT64_MAX)) {
    return InvalidArgument("BAD_MAX_RAISED_TOKENS", "max_raised_tokens must be at least 1");
  }
  return absl::OkStatus();
}

absl::Status CheckChunkStarts(const CompactionSpec& spec, int64_t token_count, int64_t sink_tokens) {
  if (spec.chunk_starts.empty()) return absl::OkStatus();
  if (spec.policy == Policy::kChunkKv && spec.chunk_starts.front() != sink_tokens) {
    return InvalidArgument("BAD_CHUNK_STARTS", absl::StrCat("chunk_starts[0] is ", spec.chunk_starts.front(),
                                                            ", not sink_tokens ", sink_tokens));
  }
  int64_t previous = -1;
  for (size_t i = 0; i < spec.chunk_starts.size(); ++i) {
    const int64_t start = spec.chunk_starts[i];
    if (start <= previous || start >= token_count) {
      return InvalidArgument("BAD_CHUNK_STARTS", absl::StrCat("chunk_starts[", i, "] = ", start,
                                                              " must ascend and stay below ", token_count));
    }
    previous = start;
  }
  return absl::OkStatus();
}

}  // namespace chunkkv
