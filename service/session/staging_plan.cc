#include "service/session/staging_plan.h"

#include <algorithm>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/memory/buffer.h"
#include "service/session/checked_bytes.h"
#include "service/session/compaction_tasks.h"
#include "service/session/declared_header.h"
#include "service/session/put_session.h"

namespace chunkkv {
namespace {

// Parts whose bytes nobody keeps, written at the same time; a further one waits.
constexpr int64_t kMostSinks = 4;
// As far as a sum of sizes may come before a body is laid out for it.
constexpr int64_t kMostBytes = int64_t{1} << 60;

absl::Status TooLarge() { return InvalidArgument("SIZE_OVERFLOW", "layout: the entry's size is beyond 2^60 bytes"); }

// What fits in `count` at once of the largest sizes, or all where `count` is 0.
int64_t LargestTogether(std::vector<int64_t> sizes, int32_t count) {
  std::sort(sizes.rbegin(), sizes.rend());
  if (count > 0 && static_cast<size_t>(count) < sizes.size()) sizes.resize(count);
  int64_t sum = 0;
  for (const int64_t size : sizes) sum = CheckedSum({sum, Buffer::ChargedBytes(size)});
  return sum;
}

void PlanLayerStaging(const PutPlan& put, StagingPlan& staging) {
  if (put.row_place != RowPlace::kStaged) return;
  std::vector<int64_t> sizes;
  for (const LayerPlan& layer : put.layers) {
    if (layer.attention_layer >= 0) sizes.push_back(LayerStageBytes(layer, put.plan.token_count));
  }
  if (put.staged_layers > 0) {
    staging.layer_buffer_bytes = *std::max_element(sizes.begin(), sizes.end());
    sizes.assign(sizes.size(), staging.layer_buffer_bytes);
  }
  staging.layer_staging_bytes = LargestTogether(std::move(sizes), put.staged_layers);
}

void PlanScoreInputs(const PutPlan& put, StagingPlan& staging) {
  std::vector<int64_t> attention;
  for (const LayerPlan& layer : put.layers) {
    if (!layer.is_scored) continue;
    const ScoreInputBytes& bytes = put.score_bytes[layer.attention_layer];
    const int64_t buffer = ScoreBufferBytes(bytes, put.plan);
    staging.score_bytes = CheckedSum({staging.score_bytes, Buffer::ChargedBytes(buffer)});
    attention.push_back(bytes.attention);
  }
  if (put.staged_attention > 0 && !attention.empty()) {
    staging.attention_buffer_bytes = *std::max_element(attention.begin(), attention.end());
    attention.assign(attention.size(), staging.attention_buffer_bytes);
  }
  staging.attention_bytes = LargestTogether(std::move(attention), put.staged_attention);
}

// Under a guardrail that decides last.
bool MayKeepEverything(const PutPlan& put) {
  return put.plan.on_low_mass == OnLowMass::kKeepFull ||
         RaisedBudget(put.plan, put.largest_budget) >= put.plan.token_count;
}

// Parts that may be dropped: rows of known positions' others, and score inputs of layers that are not scored.
void PlanSinks(const PutRequest& request, const PutPlan& put, const SessionLimits& limits, StagingPlan& staging) {
  int64_t largest = 0;
  for (const LayerPlan& layer : put.layers) {
    if (layer.attention_layer < 0) continue;
    if (put.row_place == RowPlace::kKeptInBody) {
      for (const TensorSpec& spec : layer.tensors) {
        largest = std::max(largest, CheckedProduct({spec.row_bytes, request.token_count}));
      }
    }
    if (layer.is_scored) continue;
    const ScoreInputBytes& bytes = put.score_bytes[layer.attention_layer];
    largest = std::max({largest, bytes.queries, bytes.lse, bytes.attention, bytes.token_scores});
  }
  if (largest == 0) return;
  staging.sink_buffer_bytes = std::min(largest, limits.max_part_bytes);
  staging.sink_count = kMostSinks;
}

}  // namespace

int64_t LayerStageBytes(const LayerPlan& layer, int64_t token_count) {
  int64_t bytes = 0;
  for (const TensorSpec& spec : layer.tensors) {
    bytes = CheckedSum({bytes, AlignedBytes(CheckedProduct({spec.row_bytes, token_count}))});
  }
  return bytes;
}

int64_t ScoreBufferBytes(const ScoreInputBytes& bytes, const Plan& plan) {
  const int64_t token_scores = CheckedProduct({plan.past_length, sizeof(float)});
  return CheckedSum({AlignedBytes(bytes.queries), AlignedBytes(bytes.lse), AlignedBytes(bytes.token_scores),
                     AlignedBytes(token_scores)});
}

int64_t StagingPlan::ReservedBytes() const {
  return CheckedSum({Buffer::ChargedBytes(body_bytes), final_body_bytes, layer_staging_bytes, score_bytes,
                     attention_bytes, Buffer::ChargedBytes(workspace_bytes),
                     CheckedProduct({Buffer::ChargedBytes(sink_buffer_bytes), sink_count}), bookkeeping_bytes,
                     header_bytes});
}

absl::StatusOr<StagingPlan> MakeStagingPlan(const PutRequest& request, const PutPlan& put, const SessionLimits& limits,
                                            const Compactor& compactor) {
  StagingPlan staging;
  PlanLayerStaging(put, staging);
  PlanScoreInputs(put, staging);
  PlanSinks(request, put, limits, staging);

  // Where selection comes before rows, there is nothing to lay out until it is made.
  const bool body_later = put.selects_first && put.decides_last;
  if (!body_later) {
    staging.positions_bytes = PositionsBytes(put.row_counts, put.plan.token_count);
    CHUNKKV_ASSIGN_OR_RETURN(staging.slots,
                             LayOutBody(request.layout, put.plan.groups, put.row_counts, staging.positions_bytes));
    staging.body_bytes = staging.positions_bytes;
    if (!staging.slots.empty()) staging.body_bytes = staging.slots.back().offset + staging.slots.back().size_bytes;
  }
  if (put.decides_last) {
    const std::vector<int64_t> rows(put.plan.groups.size(), put.largest_budget);
    const std::vector<int64_t> all_rows(put.plan.groups.size(), put.plan.token_count);
    const int64_t positions_bytes = PositionsBytes(rows, put.plan.token_count);
    CHUNKKV_ASSIGN_OR_RETURN(auto slots, LayOutBody(request.layout, put.plan.groups, rows, positions_bytes));
    const int64_t bytes = slots.back().offset + slots.back().size_bytes;
    CHUNKKV_ASSIGN_OR_RETURN(slots, LayOutBody(request.layout, put.plan.groups, all_rows, 0));
    const int64_t all_bytes = slots.back().offset + slots.back().size_bytes;
    staging.largest_entry_bytes = MayKeepEverything(put) ? std::max(bytes, all_bytes) : bytes;
    staging.final_body_bytes = Buffer::ChargedBytes(body_later ? std::max(bytes, all_bytes) : bytes);
  } else {
    staging.largest_entry_bytes = staging.body_bytes;
  }
  staging.header_bytes = MostOverheadBytes(request, put);
  staging.bookkeeping_bytes = SessionBytes(request, put);
  if (!put.keeps_everything) {
    const int64_t list_bytes = CheckedProduct({put.decides_last ? put.largest_budget : 0, sizeof(int32_t)});
    staging.bookkeeping_bytes =
        CheckedSum({staging.bookkeeping_bytes, staging.positions_bytes,
                    CheckedProduct({list_bytes, static_cast<int64_t>(put.plan.groups.size())})});
  }
  if (staging.ReservedBytes() > kMostBytes) return TooLarge();
  staging.workspace_bytes = WorkspaceBytes(put, request.score_dtype, compactor);
  if (staging.ReservedBytes() > kMostBytes) return TooLarge();
  return staging;
}

}  // namespace chunkkv
