#include "kernels/common/check_task.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "kernels/common/bad_task.h"
#include "kernels/common/check_dimensions.h"

namespace chunkkv {
namespace {

absl::Status CheckDense(const std::string& task, const DenseView& view) {
  if (view.data == nullptr) return BadTask(task, "a tensor of the plan's score source is missing");
  if (!IsScorable(view.dtype)) return Unimplemented("SCORING_FP8", absl::StrCat(task, ": fp8 scores or queries"));
  return absl::OkStatus();
}

template <typename Byte>
absl::Status CheckRows(const std::string& task, const BasicRowsView<Byte>& rows) {
  if (absl::Status status = CheckDimensions(rows, task); !status.ok()) return status;
  const bool holds_bytes = rows.token_count > 0 && rows.head_count > 0 && rows.head_size > 0;
  if (holds_bytes && rows.data == nullptr) return BadTask(task, "rows have no memory");
  return absl::OkStatus();
}

absl::Status CheckScales(const AttentionShape& shape, const RowsView& scales, int64_t token_count,
                         const std::string& task) {
  if (IsScorable(shape.dtype)) {
    return scales.data == nullptr ? absl::OkStatus() : BadTask(task, "key_scales beside keys that need none");
  }
  if (scales.dtype != DType::kF32 || scales.token_count != token_count || scales.head_count != shape.kv_head_count ||
      scales.head_size != 1) {
    return BadTask(task, "key_scales are not f32 [L, Hkv, 1]");
  }
  return CheckRows(task, scales);
}

}  // namespace

absl::Status CheckTask(const Plan& plan, const ScoreTask& score, const std::string& task) {
  if (score.layer < 0 || score.layer >= static_cast<int32_t>(plan.layers.size())) return BadTask(task, "no such layer");
  if (score.token_scores == nullptr && plan.past_length > 0) return BadTask(task, "token_scores has no memory");
  if (score.allows_chunk_means && !AllowsChunkMeans(plan)) {
    return BadTask(task, "allows_chunk_means, but the plan does not choose by sums or means of chunks");
  }
  switch (plan.source) {
    case ScoreSource::kNone:
      return BadTask(task, "the plan has no score source");
    case ScoreSource::kAttention:
      return CheckDense(task, score.attention);
    case ScoreSource::kTokenScores:
      return plan.past_length == 0 ? absl::OkStatus() : CheckDense(task, score.token_scores_in);
    case ScoreSource::kQueryWindow:
      break;
  }
  const AttentionShape& shape = plan.layers[score.layer];
  if (!IsScorable(score.keys.dtype) && !shape.has_key_scales) {
    return Unimplemented("SCORING_FP8", absl::StrCat(task, ": fp8 keys without scales"));
  }
  if (score.keys.token_count != plan.token_count || score.keys.head_count != shape.kv_head_count ||
      score.keys.head_size != shape.key_head_size || score.keys.dtype != shape.dtype) {
    return BadTask(task, "keys differ from the plan's shape");
  }
  if (plan.has_lse != (score.lse != nullptr)) return BadTask(task, "lse is missing, or not in the plan");
  if (absl::Status status = CheckRows(task, score.keys); !status.ok()) return status;
  if (absl::Status status = CheckScales(shape, score.key_scales, plan.token_count, task); !status.ok()) return status;
  return CheckDense(task, score.queries);
}

absl::Status CheckTask(const Plan& plan, const SelectTask& select, const std::string& task) {
  if (select.group < 0 || select.group >= static_cast<int32_t>(plan.groups.size()))
    return BadTask(task, "no such group");
  if (plan.policy == Policy::kExternal) return BadTask(task, "policy external selects nothing");
  if (select.positions == nullptr) return BadTask(task, "positions has no memory");
  const bool keeps_everything = select.budget == plan.token_count;
  if (!keeps_everything && (select.budget > plan.token_count || select.budget < plan.window_length + plan.sink_tokens ||
                            plan.policy == Policy::kFull)) {
    return BadTask(task, absl::StrCat("budget ", select.budget, " is not one of this plan's"));
  }
  const ReuseGroup& group = plan.groups[select.group];
  const size_t choosing = !plan.NeedsScores() ? 0 : group.leader < 0 ? static_cast<size_t>(group.layer_count) : 1;
  const bool needless = keeps_everything && select.token_scores.empty();
  if (select.token_scores.size() != choosing && !needless) {
    return BadTask(task, absl::StrCat("token_scores lists ", select.token_scores.size(), " layers, not ", choosing));
  }
  for (const float* scores : select.token_scores) {
    if (scores == nullptr && plan.past_length > 0) return BadTask(task, "token_scores holds null");
  }
  return absl::OkStatus();
}

absl::Status CheckTask(const Plan&, const GatherTask& gather, const std::string& task) {
  if (absl::Status status = CheckPositions(gather.positions, task); !status.ok()) return status;
  if (gather.destination == nullptr && !gather.positions.empty() && gather.source.head_size > 0) {
    return BadTask(task, "destination has no memory");
  }
  return CheckRows(task, gather.source);
}

absl::Status CheckTask(const Plan&, const RotateTask& rotate, const std::string& task) {
  const RowsView& rows = rotate.source;
  if (!IsScorable(rows.dtype)) return Unimplemented("ROTATING_FP8", absl::StrCat(task, ": fp8 keys cannot be rotated"));
  if (absl::Status status = CheckPositions(rotate.positions, task); !status.ok()) return status;
  if (absl::Status status = CheckRows(task, rows); !status.ok()) return status;
  if (rotate.rope == nullptr) return InvalidArgument("BAD_ROPE", absl::StrCat(task, ": rope is missing"));
  const RopeShape& rope = *rotate.rope;
  if (rope.first_dim < 0 || rope.rotary_dims < 0 || rope.rotary_dims % 2 != 0 ||
      int64_t{rope.first_dim} + rope.rotary_dims > rows.head_size ||
      rope.inv_freq.size() != static_cast<size_t>(rope.rotary_dims / 2)) {
    return InvalidArgument("BAD_ROPE", absl::StrCat(task, ": rope does not fit a head of ", rows.head_size));
  }
  if (static_cast<int64_t>(rotate.positions.size()) != rows.token_count) {
    return BadTask(task, "positions and rows differ in count");
  }
  if (rows.IsPaged()) return BadTask(task, "rows to rotate must be dense");
  const RowsView dense = TokenMajorRows(rows.data, rows.dtype, rows.token_count, rows.head_count, rows.head_size);
  if (rows.token_stride_bytes != dense.token_stride_bytes || rows.head_stride_bytes != dense.head_stride_bytes) {
    return BadTask(task, "rows to rotate must be dense");
  }
  if (rotate.destination == nullptr && rows.token_count > 0) return BadTask(task, "destination has no memory");
  return absl::OkStatus();
}

absl::Status CheckTask(const Plan&, const ScatterTask& scatter, const std::string& task) {
  if (absl::Status status = CheckPositions(scatter.positions, task); !status.ok()) return status;
  if (scatter.source == nullptr && !scatter.positions.empty() && scatter.destination.head_size > 0) {
    return BadTask(task, "source has no memory");
  }
  return CheckRows(task, scatter.destination);
}

absl::Status CheckTask(const Plan&, const DigestTask& digest, const std::string& task) {
  if (digest.size_bytes < 0) return BadTask(task, "size_bytes is negative");
  if (digest.size_bytes == 0) return absl::OkStatus();
  if (digest.data == nullptr) return BadTask(task, "data has no memory");
  if (digest.block_digests == nullptr) return BadTask(task, "block_digests has no memory");
  return absl::OkStatus();
}

}  // namespace chunkkv
