// Recorded prompts of a server's next puts.
#ifndef CHUNKKV_CLIENT_CLI_RECORD_PROMPTS_H_
#define CHUNKKV_CLIENT_CLI_RECORD_PROMPTS_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "chunkkv/client/client.h"
#include "client/tune/recorded_prompt_file.h"

namespace chunkkv::cli {

// Hands on the scores of the next `put_count` puts of the model, and how each put was asked for; fewer where the
// server's limit for one RPC comes first. Says on stderr when puts are recorded, and which are left out. A model that
// is named by its fingerprint alone is looked up among what the server stores. Errors: those of Client::RecordScores
// and of `on_prompt`, which ends it; NOT_FOUND (MODEL_UNKNOWN).
absl::Status RecordPrompts(
    client::Client& client, const client::ModelRef& model, int32_t put_count, const client::CallOptions& options,
    const std::function<absl::Status(const CompactionSpec& spec, const tune::RecordedPromptFile& prompt)>& on_prompt);

}  // namespace chunkkv::cli

#endif  // CHUNKKV_CLIENT_CLI_RECORD_PROMPTS_H_
