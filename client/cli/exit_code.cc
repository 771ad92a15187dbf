#include "client/cli/exit_code.h"

#include <nlohmann/json.hpp>

#include "chunkkv/kernels/status.h"

namespace chunkkv::cli {

int ExitCodeOf(const absl::Status& status) {
  if (StatusReason(status) == "BAD_USAGE") return kUsageExitCode;
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return 3;
    case absl::StatusCode::kNotFound:
      return 4;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return 5;
    case absl::StatusCode::kResourceExhausted:
      return 6;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return 7;
    case absl::StatusCode::kDataLoss:
      return 8;
    case absl::StatusCode::kUnimplemented:
      return 9;
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return 10;
    case absl::StatusCode::kCancelled:
      return 130;
    default:
      return 1;
  }
}

std::string ExitCodeHelp() {
  return "Exit codes: 0 done; 2 wrong usage; 3 wrong input (INVALID_ARGUMENT, OUT_OF_RANGE); 4 not found;\n"
         "5 wrong state (FAILED_PRECONDITION, ALREADY_EXISTS, ABORTED); 6 no room (RESOURCE_EXHAUSTED);\n"
         "7 server not reached or too slow (UNAVAILABLE, DEADLINE_EXCEEDED); 8 damaged bytes (DATA_LOSS);\n"
         "9 not built (UNIMPLEMENTED); 10 not allowed; 130 cancelled; 1 anything else.";
}

std::string ErrorText(const absl::Status& status, bool json) {
  const std::string code(absl::StatusCodeToString(status.code()));
  const std::string reason = StatusReason(status);
  const std::string message(status.message());
  if (json) {
    const nlohmann::json object = {{"code", code}, {"reason", reason}, {"message", message}};
    return nlohmann::json{{"error", object}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  return "chunkkv: " + code + (reason.empty() ? "" : " (" + reason + ")") + ": " + message;
}

}  // namespace chunkkv::cli
