#include "service/session/put_plan.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/format/attention_shapes.h"
#include "service/session/checked_bytes.h"
#include "service/session/put_session.h"

namespace chunkkv {
namespace {

constexpr size_t kMaxLabelBytes = 256;

absl::Status CheckTimes(const PutRequest& request, const SessionLimits& limits) {
  if (request.ttl_ms < 0 || request.ttl_ms > limits.max_ttl_ms) {
    return InvalidArgument("BAD_TTL", absl::StrCat("ttl_ms must be 0 to ", limits.max_ttl_ms));
  }
  if (request.pin_ms < 0) return InvalidArgument("BAD_PIN", "pin_ms is negative");
  if (request.pin_ms > limits.max_pin_ms) {
    return InvalidArgument("PIN_TOO_LONG", absl::StrCat("pin_ms must be at most ", limits.max_pin_ms));
  }
  return absl::OkStatus();
}

absl::Status CheckPrompt(const PutRequest& request) {
  const auto blocks = static_cast<int64_t>(request.prompt.digests.size());
  if (blocks == 0) return absl::OkStatus();
  const int64_t block_size = request.prompt.block_size;
  if (block_size < 1 || (request.token_count - 1) / block_size + 1 != blocks) {
    return InvalidArgument("BAD_BLOCK_DIGESTS", absl::StrCat("prompt: ", blocks, " blocks of ", block_size,
                                                             " tokens do not make ", request.token_count, " tokens"));
  }
  return absl::OkStatus();
}

absl::Status CheckExternal(const PutRequest& request, const Plan& plan) {
  if (request.spec.policy != Policy::kExternal) {
    if (request.keys_contiguous) {
      return InvalidArgument("KEYS_CONTIGUOUS", "keys_contiguous goes with the policy external only");
    }
    if (request.next_position != 0 && request.next_position != request.token_count) {
      return InvalidArgument("BAD_NEXT_POSITION", "next_position differs from token_count: policy external only");
    }
    if (!request.group_row_counts.empty()) {
      return InvalidArgument("BAD_ROW_COUNTS", "group_row_counts goes with the policy external only");
    }
    return absl::OkStatus();
  }
  if (request.send_mode == SendMode::kSelectThenSend) {
    return InvalidArgument("SELECT_EXTERNAL", "send_mode: with policy external the caller has selected already");
  }
  if (request.spec.label.empty() || request.spec.label.size() > kMaxLabelBytes) {
    return InvalidArgument("LABEL_MISSING", absl::StrCat("spec.label: 1 to ", kMaxLabelBytes, " bytes must name the ",
                                                         "method that chose"));
  }
  if (request.group_row_counts.size() != plan.groups.size()) {
    return InvalidArgument("BAD_ROW_COUNTS", absl::StrCat("group_row_counts has ", request.group_row_counts.size(),
                                                          " elements for ", plan.groups.size(), " groups"));
  }
  int64_t most = 0;
  for (size_t group = 0; group < plan.groups.size(); ++group) {
    const int64_t rows = request.group_row_counts[group];
    if (rows < 1 || rows > request.token_count) {
      return InvalidArgument("BAD_ROW_COUNTS",
                             absl::StrCat("group_row_counts[", group, "] must be 1 to ", request.token_count));
    }
    most = std::max(most, rows);
  }
  if (request.next_position != 0 &&
      (request.next_position < most || request.next_position > std::numeric_limits<int32_t>::max())) {
    return InvalidArgument("BAD_NEXT_POSITION", "next_position is below the rows sent, or above 2^31 - 1");
  }
  return absl::OkStatus();
}

absl::Status CheckScores(const PutRequest& request) {
  const bool has_dtype =
      request.score_source == ScoreSource::kQueryWindow || request.score_source == ScoreSource::kAttention;
  if (has_dtype && !IsScorable(request.score_dtype)) {
    return InvalidArgument("BAD_SCORE_DTYPE", "scores.dtype must be F32, F16 or BF16");
  }
  if (request.has_lse && request.score_source != ScoreSource::kQueryWindow) {
    return InvalidArgument("BAD_SCORE_SOURCE", "scores.lse goes with the source query_window only");
  }
  return absl::OkStatus();
}

// The spec with its profile's groups made explicit.
absl::StatusOr<CompactionSpec> ResolvedSpec(const PutRequest& request) {
  CompactionSpec spec = request.spec;
  if (spec.profile.empty()) return spec;
  if (!spec.groups.empty() || spec.reuse_group.has_value() || spec.group_score.has_value()) {
    return InvalidArgument("PROFILE_AND_GROUPS",
                           "spec.profile: it has groups; state neither groups, reuse_group nor group_score");
  }
  const int32_t layer_count = AttentionLayerCount(request.layout);
  const int32_t profile_layers = request.profile_groups.empty() ? 0
                                                                : request.profile_groups.back().first_layer +
                                                                      request.profile_groups.back().layer_count;
  if (profile_layers != layer_count) {
    return InvalidArgument("PROFILE_LAYERS", absl::StrCat("spec.profile: it is of ", profile_layers,
                                                          " attention layers, the layout has ", layer_count));
  }
  spec.groups = request.profile_groups;
  spec.profile.clear();
  return spec;
}

absl::StatusOr<Plan> PlanOf(const PutRequest& request) {
  CompactionShape shape;
  shape.token_count = request.token_count;
  shape.layers = AttentionShapes(request.layout);
  shape.source = request.score_source;
  shape.has_lse = request.has_lse;
  shape.is_sharded = request.shard.IsSharded();
  CHUNKKV_ASSIGN_OR_RETURN(CompactionSpec spec, ResolvedSpec(request));
  if (!shape.layers.empty()) return MakePlan(spec, shape);
  if (request.spec.policy != Policy::kFull) {
    return InvalidArgument("NO_ATTENTION_LAYERS",
                           "layout: nothing can be compacted; only the policy full can store it");
  }
  // The spec's own rules hold with VERBATIM layers alone as well.
  AttentionShape& any = shape.layers.emplace_back();
  any.query_head_count = any.kv_head_count = any.key_head_size = 1;
  spec.groups.clear();
  CHUNKKV_ASSIGN_OR_RETURN(Plan plan, MakePlan(spec, shape));
  plan.layers.clear();
  plan.groups.clear();
  return plan;
}

ScoreInputBytes ScoreBytesOf(const PutRequest& request, const Plan& plan, const AttentionShape& shape) {
  const int64_t rows = std::min(plan.window_length, plan.token_count);
  const auto element = static_cast<int64_t>(DTypeSize(request.score_dtype));
  ScoreInputBytes bytes;
  switch (request.score_source) {
    case ScoreSource::kNone:
      break;
    case ScoreSource::kQueryWindow:
      bytes.queries = CheckedProduct({rows, shape.query_head_count, shape.key_head_size, element});
      if (request.has_lse) bytes.lse = CheckedProduct({rows, shape.query_head_count, sizeof(float)});
      break;
    case ScoreSource::kAttention:
      bytes.attention = CheckedProduct({shape.query_head_count, rows, plan.token_count, element});
      break;
    case ScoreSource::kTokenScores:
      bytes.token_scores = CheckedProduct({plan.past_length, sizeof(float)});
      break;
  }
  return bytes;
}

void LayOutLayers(const PutRequest& request, PutPlan& put) {
  const int32_t layer_count = LayerCount(request.layout);
  for (int32_t layer = 0; layer < layer_count; ++layer) {
    LayerPlan planned;
    planned.layer = layer;
    planned.tensors = LayerTensors(request.layout, layer);
    planned.attention_layer = AttentionIndex(request.layout, layer);
    if (planned.attention_layer >= 0) {
      planned.group = put.plan.GroupOf(planned.attention_layer);
      planned.is_scored = !put.keeps_everything && put.plan.IsScored(planned.attention_layer);
      planned.head_major_parts = FindRun(request.layout, layer)->attention->head_major_parts;
      put.layer_of_attention.push_back(layer);
      put.score_bytes.push_back(ScoreBytesOf(request, put.plan, put.plan.layers[planned.attention_layer]));
      put.is_scored |= planned.is_scored;
    }
    put.layers.push_back(std::move(planned));
  }
}

// Layers of a group that wait, complete, until its last choosing layer has come.
int32_t WaitingLayers(const PutPlan& put) {
  int32_t most = 0;
  for (const ReuseGroup& group : put.plan.groups) {
    const int32_t deciding = group.leader >= 0 ? group.leader : group.first_layer + group.layer_count - 1;
    most = std::max(most, put.layer_of_attention[deciding] - put.layer_of_attention[group.first_layer]);
  }
  return most;
}

int64_t LargestBudget(const PutPlan& put) {
  int64_t budget = put.plan.budget;
  if (!put.decides_last || put.plan.on_low_mass != OnLowMass::kRaiseBudget) return budget;
  while (true) {
    const int64_t raised = RaisedBudget(put.plan, budget);
    if (raised == budget || raised >= put.plan.token_count) return budget;
    budget = raised;
  }
}

RowPlace PlaceOfRows(const PutRequest& request, const PutPlan& put) {
  if (put.keeps_everything || put.is_external || put.selects_first || put.decides_last) return RowPlace::kBody;
  // A digest over whole tensors needs all of their rows at once.
  if (!put.is_scored && !request.content_digest.has_value()) return RowPlace::kKeptInBody;
  return RowPlace::kStaged;
}

}  // namespace

absl::StatusOr<PutPlan> MakePutPlan(const PutRequest& request, const SessionLimits& limits) {
  CHUNKKV_RETURN_IF_ERROR(CheckTimes(request, limits));
  if (request.token_count < 1) return InvalidArgument("BAD_TOKEN_COUNT", "token_count must be at least 1");
  if (request.token_count > limits.layout.max_token_count) {
    return InvalidArgument("BAD_TOKEN_COUNT",
                           absl::StrCat("token_count must be at most ", limits.layout.max_token_count));
  }
  CHUNKKV_RETURN_IF_ERROR(CheckPrompt(request));
  CHUNKKV_RETURN_IF_ERROR(ValidateLayout(request.layout, limits.layout));
  if (request.next_position < 0) return InvalidArgument("BAD_NEXT_POSITION", "next_position is negative");
  CHUNKKV_RETURN_IF_ERROR(CheckScores(request));

  PutPlan put;
  CHUNKKV_ASSIGN_OR_RETURN(put.plan, PlanOf(request));
  CHUNKKV_RETURN_IF_ERROR(CheckExternal(request, put.plan));
  put.is_external = put.plan.policy == Policy::kExternal;
  put.selects_first = request.send_mode == SendMode::kSelectThenSend;
  put.keeps_everything = !put.is_external && put.plan.KeepsEverything();
  put.decides_last =
      !put.keeps_everything && put.plan.has_min_retained_mass && put.plan.on_low_mass != OnLowMass::kFail;
  LayOutLayers(request, put);

  if (put.selects_first && put.is_scored && put.plan.source == ScoreSource::kQueryWindow) {
    return Unimplemented("REGIONS", "scores.source: selecting before sending from queries needs a region to read keys");
  }
  if (put.selects_first && !put.keeps_everything && request.content_digest.has_value()) {
    return Unimplemented("CONTENT_DIGEST", "content_digest: rows that are never sent cannot be checked");
  }
  put.row_place = PlaceOfRows(request, put);
  put.row_range = put.is_external || put.selects_first ? RangeKind::kKeptRows : RangeKind::kTokens;
  const bool all_rows = put.keeps_everything || put.decides_last;
  put.row_counts = put.is_external
                       ? request.group_row_counts
                       : std::vector<int64_t>(put.plan.groups.size(), all_rows ? request.token_count : put.plan.budget);
  put.largest_budget = LargestBudget(put);
  if (!put.keeps_everything) {
    int64_t positions = 0;
    for (const int64_t rows : put.row_counts) {
      positions = CheckedSum({positions, put.decides_last ? put.largest_budget : rows});
    }
    if (positions > limits.max_positions) {
      return ErrorStatus(absl::StatusCode::kResourceExhausted, "TOO_MANY_POSITIONS",
                         absl::StrCat("kept positions of all groups are more than ", limits.max_positions));
    }
  }
  if (request.order == PartOrder::kLayerMajor) {
    if (put.row_place == RowPlace::kStaged) put.staged_layers = limits.max_open_layers + WaitingLayers(put);
    put.staged_attention = limits.max_open_layers;
  }
  return put;
}

}  // namespace chunkkv
