// Sends a prompt file, or a record, to a server.
#ifndef CHUNKKV_CLIENT_CLI_PUT_FILE_H_
#define CHUNKKV_CLIENT_CLI_PUT_FILE_H_

#include "absl/status/statusor.h"
#include "chunkkv/client/client.h"
#include "client/cli/prompt_file.h"

namespace chunkkv::cli {

// A record whose tokens were chosen already: it is put as external, under the policy's name as its label.
bool IsCompactedRecord(const PromptFile& file);

// `request` holds model, prompt, spec and the ways of sending; layout, counts and scores are the file's.
// Errors: INVALID_ARGUMENT (SCORES_MISSING, MIXED_SCORES, BAD_INPUT_FILE), those of Client::Put.
absl::StatusOr<client::PutResult> PutFile(client::Client& client, const PromptFile& file, client::PutRequest request,
                                          const client::CallOptions& options);

}  // namespace chunkkv::cli

#endif  // CHUNKKV_CLIENT_CLI_PUT_FILE_H_
