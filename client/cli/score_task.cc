#include "client/cli/score_task.h"

namespace chunkkv::cli {

ScoreTask ScoreTaskOf(const PromptFile& file, const Plan& plan, int32_t layer, int32_t index, float* token_scores,
                      FileViews& views) {
  const LayerScores inputs = file.ScoresOf(layer);
  ScoreTask task;
  task.layer = index;
  task.token_scores = token_scores;
  if (plan.source == ScoreSource::kQueryWindow) {
    task.keys = views.Rows(*file.Find(layer, "k"));
    task.queries = views.Dense(*inputs.queries);
    if (plan.has_lse) task.lse = views.Floats(*inputs.lse);
  } else if (plan.source == ScoreSource::kAttention) {
    task.attention = views.Dense(*inputs.attention);
  } else {
    task.token_scores_in = views.Dense(*inputs.token_scores);
  }
  return task;
}

}  // namespace chunkkv::cli
