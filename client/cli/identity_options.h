// Flags that name a prompt of a model. What they leave out a prompt file's metadata, or a record, can give.
#ifndef CHUNKKV_CLIENT_CLI_IDENTITY_OPTIONS_H_
#define CHUNKKV_CLIENT_CLI_IDENTITY_OPTIONS_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "chunkkv/client/types.h"
#include "client/cli/prompt_file.h"

namespace CLI {
class App;
}

namespace chunkkv::cli {

class IdentityOptions {
 public:
  void AddTo(CLI::App& app);
  // The model alone.
  void AddModelTo(CLI::App& app);
  // --fingerprint alone, which is enough for lookups.
  void AddFingerprintTo(CLI::App& app);
  // The prompt, and --fingerprint.
  void AddForLookupTo(CLI::App& app);

  // Whether the flags name the model.
  bool names_model() const { return !flags_.name.empty() || !model_file_.empty(); }

  // The model: the flags', else --model-file's or the prompt file's metadata `model`, in its canonical form; shapes
  // that no flag gives are those of `file`, which may be null. Errors: INVALID_ARGUMENT (MODEL_IDENTITY_INCOMPLETE,
  // BAD_NAME).
  absl::StatusOr<ModelIdentity> Model(const PromptFile* file) const;
  // For lookups: --fingerprint, or the model.
  absl::StatusOr<client::ModelRef> ModelRef() const;
  // Errors: INVALID_ARGUMENT (BAD_KEY, BAD_TOKENS, NO_PROMPT).
  absl::StatusOr<client::Prompt> Prompt(const PromptFile* file) const;

 private:
  std::string model_file_;
  std::string fingerprint_;
  ModelIdentity flags_;
  std::string tokens_file_;
  std::string key_;
};

// "exact", "least_lossy", or a variant. Errors: INVALID_ARGUMENT (BAD_ACCEPT).
absl::StatusOr<client::Accept> ParseAccept(const std::string& text);
// 32 or 16 bytes from hexadecimal digits. Errors: INVALID_ARGUMENT (`reason`) naming `flag`.
absl::StatusOr<Bytes32> ParseBytes32(const std::string& hex, const char* flag, const char* reason);
absl::StatusOr<Bytes16> ParseBytes16(const std::string& hex, const char* flag, const char* reason);

}  // namespace chunkkv::cli

#endif  // CHUNKKV_CLIENT_CLI_IDENTITY_OPTIONS_H_
