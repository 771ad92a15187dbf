#include "client/cli/record_prompts.h"

#include <cstdio>
#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"

namespace chunkkv::cli {
namespace {

absl::StatusOr<ModelIdentity> IdentityOf(client::Client& client, const client::ModelRef& model) {
  if (model.model) return *model.model;
  CHUNKKV_ASSIGN_OR_RETURN(const client::ListPage page, client.List(1, "", model.fingerprint));
  if (!page.entries.empty() && page.entries[0].header.model) return *page.entries[0].header.model;
  return ErrorStatus(absl::StatusCode::kNotFound, "MODEL_UNKNOWN",
                     "the server does not tell the model of this fingerprint: name it by its flags or --model-file");
}

tune::RecordedPromptFile PromptOf(client::RecordedScores scores, const ModelIdentity& model) {
  tune::RecordedPromptFile prompt;
  prompt.prompt.token_count = scores.token_count;
  prompt.prompt.chunk_starts = std::move(scores.spec.chunk_starts);
  prompt.prompt.scores = std::move(scores.token_scores);
  prompt.layers = std::move(scores.layers);
  prompt.model = model;
  return prompt;
}

}  // namespace

absl::Status RecordPrompts(
    client::Client& client, const client::ModelRef& model, int32_t put_count, const client::CallOptions& options,
    const std::function<absl::Status(const CompactionSpec& spec, const tune::RecordedPromptFile& prompt)>& on_prompt) {
  client::CallOptions stoppable = options;
  client::Cancellation stop;
  stoppable.cancellation = stop;
  std::optional<ModelIdentity> identity;
  absl::Status failure;
  const auto take = [&](client::RecordedScores scores) -> absl::Status {
    if (!identity) {
      CHUNKKV_ASSIGN_OR_RETURN(identity, IdentityOf(client, model));
    }
    const CompactionSpec spec = scores.spec;
    return on_prompt(spec, PromptOf(std::move(scores), *identity));
  };
  client::RecordRequest request;
  request.model = model;
  request.put_count = put_count;
  const absl::Status status = client.RecordScores(
      request,
      [&](client::RecordedScores scores) {
        if (!failure.ok()) return;
        failure = take(std::move(scores));
        if (!failure.ok()) stop.Cancel();
      },
      [put_count] { std::fprintf(stderr, "chunkkv: recording the next %d puts\n", put_count); },
      [](const client::SkippedPuts& skipped) {
        std::fprintf(stderr,
                     "chunkkv: left out so far: %lld puts of which some layer was not scored (index reuse by leaders, "
                     "or everything kept), %lld for want of room\n",
                     static_cast<long long>(skipped.unscored), static_cast<long long>(skipped.no_room));
      },
      stoppable);
  return failure.ok() ? status : failure;
}

}  // namespace chunkkv::cli
