// The input of `tune`: prompt files as `compact` reads them, and recorded prompts.
#ifndef CHUNKKV_CLIENT_CLI_TUNE_INPUT_H_
#define CHUNKKV_CLIENT_CLI_TUNE_INPUT_H_

#include <string>

#include "absl/status/statusor.h"
#include "chunkkv/kernels/spec.h"
#include "client/cli/identity_options.h"
#include "client/tune/batch_runner.h"
#include "client/tune/recorded_prompt_file.h"

namespace chunkkv::cli {

// The token scores of every attention layer of the file at `path`, scored by `runner` for the window of `spec`; its
// chunk_starts, and its model: the flags' or the file's. A prompt that keeps all of its tokens, or a policy that does
// not choose by scores, is not scored: the scores are zeros.
// Errors: INVALID_ARGUMENT (those of PromptFile, ReadRecordedPrompt, IdentityOptions::Model and the compactor;
// NOT_A_WHOLE_MODEL where the file has another number of layers than the model), naming the file.
absl::StatusOr<tune::RecordedPromptFile> ReadTuneInput(const std::string& path, const CompactionSpec& spec,
                                                       const IdentityOptions& identity, tune::BatchRunner& runner);

}  // namespace chunkkv::cli

#endif  // CHUNKKV_CLIENT_CLI_TUNE_INPUT_H_
