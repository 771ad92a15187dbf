#include "service/rpc/grpc_status.h"

#include <algorithm>

#include "chunkkv/kernels/status.h"

namespace chunkkv::rpc {
namespace {

// When a refusal for lack of room is worth another try; 0: the same request will not succeed later.
int RetryAfterMs(const absl::Status& status, std::string_view reason) {
  if (reason == "QUOTA_STREAMS" || reason == "QUOTA_IN_FLIGHT") return 100;
  if (reason == "BUDGET" || reason == "TOO_MANY_STREAMS" || reason == "RATE_LIMITED") return 100;
  if (status.code() == absl::StatusCode::kUnavailable) return 1000;
  return 0;
}

}  // namespace

std::string PrintableText(std::string_view text) {
  std::string printable(text.substr(0, kMaxErrorTextBytes));
  std::replace_if(
      printable.begin(), printable.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return printable;
}

grpc::Status ToGrpcStatus(const absl::Status& status, grpc::ServerContextBase& context) {
  if (status.ok()) return grpc::Status::OK;
  const std::string reason = StatusReason(status);
  if (!reason.empty()) context.AddTrailingMetadata(kReasonTrailer, reason);
  if (const int retry_ms = RetryAfterMs(status, reason); retry_ms > 0) {
    context.AddTrailingMetadata(kRetryTrailer, std::to_string(retry_ms));
  }
  const absl::string_view text = status.message();
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      PrintableText(std::string_view(text.data(), text.size())));
}

void ToWire(const absl::Status& status, v1::ItemStatus* item) {
  item->set_code(static_cast<int>(status.code()));
  if (status.ok()) return;
  item->set_reason(StatusReason(status));
  const absl::string_view text = status.message();
  item->set_message(PrintableText(std::string_view(text.data(), text.size())));
}

}  // namespace chunkkv::rpc
