#include "chunkkv/kernels/status.h"

#include <optional>

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"

namespace chunkkv {
namespace {

constexpr char kReasonUrl[] = "type.chunkkv/reason";

absl::string_view View(std::string_view text) { return absl::string_view(text.data(), text.size()); }

}  // namespace

absl::Status ErrorStatus(absl::StatusCode code, std::string_view reason, std::string_view message) {
  absl::Status status(code, View(message));
  if (!status.ok()) status.SetPayload(kReasonUrl, absl::Cord(View(reason)));
  return status;
}

absl::Status InvalidArgument(std::string_view reason, std::string_view message) {
  return ErrorStatus(absl::StatusCode::kInvalidArgument, reason, message);
}

absl::Status FailedPrecondition(std::string_view reason, std::string_view message) {
  return ErrorStatus(absl::StatusCode::kFailedPrecondition, reason, message);
}

absl::Status Unimplemented(std::string_view reason, std::string_view message) {
  return ErrorStatus(absl::StatusCode::kUnimplemented, reason, message);
}

std::string StatusReason(const absl::Status& status) {
  const auto reason = status.GetPayload(kReasonUrl);
  return reason.has_value() ? std::string(*reason) : std::string();
}

}  // namespace chunkkv
