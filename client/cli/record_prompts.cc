#include "client/cli/record_prompts.h"

#include <cstdio>
#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"

namespace chunkkv::cli {
namespace {

absl::StatusOr<ModelIdentity> IdentityOf(client::Client& client, const client::ModelRef& model,
                                         const client::CallOptions& options) {
  if (model.model) return *model.model;
  CHUNKKV_ASSIGN_OR_RETURN(const client::ListPage page, client.List(1, "", model.fingerprint, options));
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
  CHUNKKV_ASSIGN_OR_RETURN(const ModelIdentity identity, IdentityOf(client, model, options));
  int32_t taken = 0;
  absl::Status failure;
  client::RecordRequest request;
  request.model = model;
  request.put_count = put_count;
  const absl::Status status = client.RecordScores(
      request,
      [&](client::RecordedScores scores) {
        if (!failure.ok()) return;
        const CompactionSpec spec = scores.spec;
        failure = on_prompt(spec, PromptOf(std::move(scores), identity));
        if (!failure.ok()) stop.Cancel();
        ++taken;
      },
      [put_count] { std::fprintf(stderr, "chunkkv: recording the next %d puts\n", put_count); },
      [](const client::SkippedPuts& skipped) {
        std::fprintf(stderr,
                     "chunkkv: left out so far: %lld puts of which some layer was not scored (index reuse by leaders, "
                     "or everything kept), %lld for want of room, %lld that were stored already\n",
                     static_cast<long long>(skipped.unscored), static_cast<long long>(skipped.no_room),
                     static_cast<long long>(skipped.already_stored));
      },
      stoppable);
  if (!failure.ok()) return failure;
  if (taken > 0 && StatusReason(status) == "RPC_TOO_LONG") {
    std::fprintf(stderr, "chunkkv: the server's limit for one RPC came after %d puts\n", taken);
    return absl::OkStatus();
  }
  return status;
}

}  // namespace chunkkv::cli
