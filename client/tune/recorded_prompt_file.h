// A recorded prompt at rest: a safetensors file of token scores alone, some 4 bytes a token and layer.
//
// Tensors: layers.<l>.scores F32 [P] of every attention layer <l> of the model, and chunk_starts I32 where chunks were
// given. Metadata: format "chunkkv.recorded_prompt", format_version "1", token_count, and model, its identity in
// canonical form, where it is known.
#ifndef CHUNKKV_CLIENT_TUNE_RECORDED_PROMPT_FILE_H_
#define CHUNKKV_CLIENT_TUNE_RECORDED_PROMPT_FILE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/tune/recorded_prompt.h"
#include "service/format/identity.h"
#include "service/format/safetensors.h"

namespace chunkkv::tune {

struct RecordedPromptFile {
  RecordedPrompt prompt;
  std::vector<int32_t> layers;  // [N] numbers of the attention layers in the model, ascending
  std::optional<ModelIdentity> model;
};

// Whether the file says of itself that it is one.
bool IsRecordedPrompt(const SafetensorsHeader& header);

// Errors: INVALID_ARGUMENT (NOT_SAFETENSORS, BAD_RECORDED_PROMPT naming what is wrong, BAD_CANONICAL_TEXT),
// UNIMPLEMENTED (RECORDED_PROMPT_NEWER), those of FileStatus. Contents of the scores are not looked at.
absl::StatusOr<RecordedPromptFile> ReadRecordedPrompt(const std::string& path);

// Whole or not at all. `file.layers` has one number a list of scores. Errors: those of FileStatus.
absl::Status WriteRecordedPrompt(const std::string& path, const RecordedPromptFile& file);

}  // namespace chunkkv::tune

#endif  // CHUNKKV_CLIENT_TUNE_RECORDED_PROMPT_FILE_H_
