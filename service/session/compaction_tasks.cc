#include "service/session/compaction_tasks.h"

#include <algorithm>
#include <vector>

namespace chunkkv {

ScoreTask MakeScoreTask(int32_t attention_layer, const RowsView& keys, const ScoreAddresses& addresses, DType dtype) {
  ScoreTask task;
  task.layer = attention_layer;
  task.keys = keys;
  task.queries = {addresses.queries, dtype, {}};
  task.lse = addresses.lse;
  task.attention = {addresses.attention, dtype, {}};
  task.token_scores_in = {reinterpret_cast<const std::byte*>(addresses.token_scores_in), DType::kF32, {}};
  task.token_scores = addresses.token_scores;
  return task;
}

int64_t WorkspaceBytes(const PutPlan& put, DType score_dtype, const Compactor& compactor) {
  const Plan& plan = put.plan;
  // Scratch depends on shapes alone: any address stands for the memory that will be there.
  static constexpr float kSomewhere = 0;
  static float somewhere_out = 0;
  const auto* const bytes = reinterpret_cast<const std::byte*>(&kSomewhere);
  size_t most = 0;
  for (const LayerPlan& layer : put.layers) {
    if (layer.attention_layer < 0) continue;
    const AttentionShape& shape = plan.layers[layer.attention_layer];
    Batch batch;
    std::vector<GatherTask> gathers;
    for (const TensorSpec& spec : layer.tensors) {
      GatherTask gather;
      gather.source = TokenMajorRows(bytes, spec.dtype, plan.token_count, spec.head_count, spec.head_size);
      gathers.push_back(gather);
    }
    batch.gather = gathers;
    most = std::max(most, compactor.WorkspaceBytes(plan, batch));
    if (!layer.is_scored) continue;
    const RowsView keys =
        TokenMajorRows(bytes, shape.dtype, plan.token_count, shape.kv_head_count, shape.key_head_size);
    ScoreTask score =
        MakeScoreTask(layer.attention_layer, keys,
                      {bytes, plan.has_lse ? &kSomewhere : nullptr, bytes, &kSomewhere, &somewhere_out}, score_dtype);
    for (const bool allows_chunk_means : {false, AllowsChunkMeans(plan)}) {
      score.allows_chunk_means = allows_chunk_means;
      batch = Batch();
      batch.score = absl::MakeConstSpan(&score, 1);
      most = std::max(most, compactor.WorkspaceBytes(plan, batch));
    }
  }
  if (put.is_external || put.keeps_everything) return static_cast<int64_t>(most);
  for (size_t group = 0; group < plan.groups.size(); ++group) {
    const size_t choosing = !plan.NeedsScores()              ? 0
                            : plan.groups[group].leader >= 0 ? 1
                                                             : static_cast<size_t>(plan.groups[group].layer_count);
    const std::vector<const float*> scores(choosing, &kSomewhere);
    SelectTask select;
    select.group = static_cast<int32_t>(group);
    select.token_scores = scores;
    for (int64_t budget = plan.budget;;) {
      select.budget = budget;
      Batch batch;
      batch.select = absl::MakeConstSpan(&select, 1);
      most = std::max(most, compactor.WorkspaceBytes(plan, batch));
      const int64_t raised = put.decides_last ? RaisedBudget(plan, budget) : budget;
      if (raised == budget || raised > put.largest_budget) break;
      budget = raised;
    }
  }
  return static_cast<int64_t>(most);
}

}  // namespace chunkkv
