#include "client/cli/tune_input.h"

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "client/cli/file_views.h"
#include "client/cli/local_compaction.h"
#include "client/cli/score_task.h"
#include "service/base/status_macros.h"

namespace chunkkv::cli {
namespace {

absl::StatusOr<bool> IsRecordedPromptFile(const std::string& path) {
  CHUNKKV_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  return tune::IsRecordedPrompt(file.header());
}

absl::StatusOr<tune::RecordedPromptFile> ReadRecorded(const std::string& path, const IdentityOptions& identity) {
  CHUNKKV_ASSIGN_OR_RETURN(tune::RecordedPromptFile recorded, tune::ReadRecordedPrompt(path));
  if (identity.names_model() || !recorded.model) {
    CHUNKKV_ASSIGN_OR_RETURN(recorded.model, identity.Model(nullptr));
  }
  if (recorded.layers.back() >= recorded.model->layer_count) {
    return InvalidArgument("NOT_A_WHOLE_MODEL",
                           absl::StrCat("layer ", recorded.layers.back(), " is beyond the model's ",
                                        recorded.model->layer_count, " layers"));
  }
  return recorded;
}

// Layer by layer: what has been read of the file is let go before the next one.
absl::Status Score(const PromptFile& file, const ScoringPlan& scoring, tune::BatchRunner& scorer,
                   tune::RecordedPromptFile* recorded) {
  for (size_t index = 0; index < recorded->layers.size(); ++index) {
    const int32_t layer = recorded->layers[index];
    std::vector<float>& scores = recorded->prompt.scores.emplace_back(scoring.plan.past_length);
    if (!scoring.plan.NeedsScores() || scoring.plan.KeepsEverything()) continue;
    FileViews views(file);
    const ScoreTask task = ScoreTaskOf(file, scoring.plan, layer, static_cast<int32_t>(index), scores.data(), views);
    CHUNKKV_RETURN_IF_ERROR(scorer.Run(scoring.plan, {.score = {&task, 1}}));
    for (const char* name : {"k", "q", "attention"}) {
      if (const SafetensorsTensor* tensor = file.Find(layer, name)) file.Release(*tensor);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<tune::RecordedPromptFile> ScorePromptFile(const std::string& path, CompactionSpec spec,
                                                         const IdentityOptions& identity, tune::BatchRunner& scorer) {
  CHUNKKV_ASSIGN_OR_RETURN(const PromptFile file, PromptFile::Open(path));
  tune::RecordedPromptFile recorded;
  recorded.layers = AttentionLayers(file.layout());
  recorded.prompt.token_count = file.token_count();
  recorded.prompt.chunk_starts = file.chunk_starts();
  CHUNKKV_ASSIGN_OR_RETURN(recorded.model, identity.Model(&file));
  if (recorded.model->layer_count != LayerCount(file.layout())) {
    return InvalidArgument("NOT_A_WHOLE_MODEL", absl::StrCat("the file has ", LayerCount(file.layout()),
                                                             " layers, the model ", recorded.model->layer_count));
  }
  spec.chunk_starts = file.chunk_starts();
  CHUNKKV_ASSIGN_OR_RETURN(const ScoringPlan scoring, PlanScoring(file, spec));
  CHUNKKV_RETURN_IF_ERROR(Score(file, scoring, scorer, &recorded));
  return recorded;
}

}  // namespace

absl::StatusOr<tune::RecordedPromptFile> ReadTuneInput(const std::string& path, const CompactionSpec& spec,
                                                       const IdentityOptions& identity, tune::BatchRunner& scorer) {
  const absl::StatusOr<bool> is_recorded = IsRecordedPromptFile(path);
  absl::StatusOr<tune::RecordedPromptFile> prompt = !is_recorded.ok() ? is_recorded.status()
                                                    : *is_recorded    ? ReadRecorded(path, identity)
                                                                      : ScorePromptFile(path, spec, identity, scorer);
  if (prompt.ok()) return prompt;
  const absl::Status& status = prompt.status();
  return ErrorStatus(status.code(), StatusReason(status), absl::StrCat(path, ": ", status.message()));
}

}  // namespace chunkkv::cli
