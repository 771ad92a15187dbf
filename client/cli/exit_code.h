// Exit codes of the program, one a class of failure; `chunkkv --help` lists them.
#ifndef CHUNKKV_CLIENT_CLI_EXIT_CODE_H_
#define CHUNKKV_CLIENT_CLI_EXIT_CODE_H_

#include <string>

#include "absl/status/status.h"

namespace chunkkv::cli {

inline constexpr int kUsageExitCode = 2;

int ExitCodeOf(const absl::Status& status);

// The list for --help.
std::string ExitCodeHelp();

// One line for stderr, "chunkkv: INVALID_ARGUMENT (BUDGET_BELOW_WINDOW): max_tokens ..."; or a JSON object with code,
// reason and message.
std::string ErrorText(const absl::Status& status, bool json);

}  // namespace chunkkv::cli

#endif  // CHUNKKV_CLIENT_CLI_EXIT_CODE_H_
