#include "client/cpp/local_scores.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/compactor.h"
#include "chunkkv/kernels/plan.h"
#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/format/attention_shapes.h"

namespace chunkkv::client {
namespace {

constexpr size_t kWorkspaceAlignment = 64;

CompactionShape ShapeOf(const PutRequest& request) {
  CompactionShape shape;
  shape.token_count = request.token_count;
  shape.source = request.score_source;
  shape.has_lse = request.has_lse;
  shape.is_sharded = request.shard && request.shard->IsSharded();
  shape.layers = AttentionShapes(request.layout);
  return shape;
}

absl::Status CheckSize(int32_t layer, const char* name, absl::Span<const std::byte> bytes, int64_t expected) {
  if (static_cast<int64_t>(bytes.size()) == expected) return absl::OkStatus();
  return InvalidArgument(
      "BAD_ARRAY", absl::StrCat("layer ", layer, ": ", name, " has ", bytes.size(), " bytes, expected ", expected));
}

}  // namespace

absl::StatusOr<std::vector<std::vector<float>>> ComputeTokenScores(const PutRequest& request,
                                                                   absl::Span<const LayerArrays> layers) {
  const CompactionShape shape = ShapeOf(request);
  const std::vector<int32_t> attention_layers = AttentionLayers(request.layout);
  CompactionSpec spec = request.spec;
  spec.profile.clear();  // the server knows its groups: here any layer may be one that chooses
  CHUNKKV_ASSIGN_OR_RETURN(const Plan plan, MakePlan(spec, shape));
  const std::unique_ptr<Compactor> compactor = MakeCpuCompactor();
  std::vector<std::vector<float>> scores(layers.size());
  std::vector<std::byte> workspace;
  const int64_t window = std::min(plan.window_length, plan.token_count);
  for (size_t index = 0; index < attention_layers.size(); ++index) {
    if (!plan.IsScored(static_cast<int32_t>(index))) continue;
    const int32_t layer = attention_layers[index];
    const AttentionRun& run = *FindRun(request.layout, layer)->attention;
    scores[layer].resize(plan.past_length);
    if (plan.KeepsEverything()) continue;  // nothing is chosen: no key is read
    const LayerArrays& arrays = layers[layer];
    const int64_t element = static_cast<int64_t>(DTypeSize(request.score_dtype));
    const int64_t heads = shape.layers[index].query_head_count;
    ScoreTask task;
    task.layer = static_cast<int32_t>(index);
    task.token_scores = scores[layer].data();
    if (plan.source == ScoreSource::kQueryWindow) {
      CHUNKKV_RETURN_IF_ERROR(
          CheckSize(layer, "queries", arrays.queries, window * heads * run.key_head_size * element));
      task.keys = (run.head_major_parts ? HeadMajorRows : TokenMajorRows)(
          arrays.keys.data(), run.key_dtype, plan.token_count, run.kv_head_count, run.key_head_size);
      task.queries = {arrays.queries.data(), request.score_dtype, {}};
      if (plan.has_lse) {
        CHUNKKV_RETURN_IF_ERROR(
            CheckSize(layer, "lse", arrays.lse, window * heads * static_cast<int64_t>(sizeof(float))));
        task.lse = reinterpret_cast<const float*>(arrays.lse.data());
      }
    } else {
      CHUNKKV_RETURN_IF_ERROR(
          CheckSize(layer, "attention", arrays.attention, heads * window * plan.token_count * element));
      task.attention = {arrays.attention.data(), request.score_dtype, {}};
    }
    Batch batch;
    batch.score = {&task, 1};
    const size_t needed = compactor->WorkspaceBytes(plan, batch);
    workspace.resize(std::max(workspace.size(), needed + kWorkspaceAlignment));
    const size_t skew = reinterpret_cast<uintptr_t>(workspace.data()) % kWorkspaceAlignment;
    ExecutionContext context;
    CHUNKKV_RETURN_IF_ERROR(compactor->Enqueue(
        plan, batch, {workspace.data() + (kWorkspaceAlignment - skew) % kWorkspaceAlignment, needed}, context));
    CHUNKKV_RETURN_IF_ERROR(compactor->Wait(context));
  }
  return scores;
}

}  // namespace chunkkv::client
