#include "service/rpc/ended_call.h"

#include "chunkkv/kernels/status.h"
#include "service/operation/log.h"

namespace chunkkv::rpc {
namespace {

// How loud a call's end is: whoever made a mistake hears of it, the operator of what the server did wrong.
LogLevel LevelOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kUnknown:
      return LogLevel::kError;
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kResourceExhausted:
      return LogLevel::kInfo;
    default:
      return LogLevel::kDebug;
  }
}

}  // namespace

void Tell(const EndedCall& call, Metrics& metrics) {
  const std::string code = absl::StatusCodeToString(call.status.code());
  const std::string reason = StatusReason(call.status);
  metrics.CountCall(call.rpc, code, reason, call.seconds);
  const LogLevel level = LevelOf(call.status.code());
  if (!IsLogged(level)) return;
  Log(level, "call ended",
      {{log_key::kRpc, std::string(call.rpc)},
       {log_key::kCode, code},
       {log_key::kReason, reason},
       {log_key::kTenant, call.tenant.empty() ? "" : TenantDigest(call.tenant)},
       {log_key::kBytes, call.bytes},
       {log_key::kDurationMs, 1e3 * call.seconds},
       {log_key::kTraceId, call.trace_id}});
}

}  // namespace chunkkv::rpc
