// Scoring of a prompt file's layer, as a compactor takes it.
#ifndef CHUNKKV_CLIENT_CLI_SCORE_TASK_H_
#define CHUNKKV_CLIENT_CLI_SCORE_TASK_H_

#include <cstdint>

#include "chunkkv/kernels/compactor.h"
#include "chunkkv/kernels/plan.h"
#include "client/cli/file_views.h"
#include "client/cli/prompt_file.h"

namespace chunkkv::cli {

// Scores layer `layer` of the file, attention layer `index`, from the plan's source, into token_scores [P]. The file
// has been checked against the plan (PromptFile::CheckScores); `views` must live as long as the task.
ScoreTask ScoreTaskOf(const PromptFile& file, const Plan& plan, int32_t layer, int32_t index, float* token_scores,
                      FileViews& views);

}  // namespace chunkkv::cli

#endif  // CHUNKKV_CLIENT_CLI_SCORE_TASK_H_
