#include "service/rpc/call_record.h"

#include "chunkkv/kernels/status.h"
#include "service/operation/log.h"
#include "service/operation/trace_context.h"
#include "service/rpc/grpc_status.h"

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

std::optional<TraceContext> TraceOf(const grpc::ServerContextBase& call) {
  const auto header = call.client_metadata().find(kTraceParentHeader);
  if (header == call.client_metadata().end()) return std::nullopt;
  return ParseTraceParent({header->second.data(), header->second.size()});
}

}  // namespace

CallRecord::CallRecord(RpcContext& context, grpc::ServerContextBase& call, const char* rpc)
    : context_(context), call_(call), rpc_(rpc), trace_(TraceOf(call)) {}

absl::StatusOr<std::string> CallRecord::Admit() {
  int64_t metadata_bytes = 0;
  for (const auto& [key, value] : call_.client_metadata()) {
    metadata_bytes += static_cast<int64_t>(key.size() + value.size());
  }
  if (metadata_bytes > kMaxMetadataBytes) {
    return ErrorStatus(absl::StatusCode::kResourceExhausted, "METADATA_TOO_LARGE",
                       "the call's metadata is above " + std::to_string(kMaxMetadataBytes) + " bytes");
  }
  absl::StatusOr<std::string> tenant = context_.tenants.Resolve(call_);
  if (tenant.ok()) tenant_ = *tenant;
  return tenant;
}

absl::StatusOr<StreamSlot> CallRecord::TakeSlot(StreamKind kind) {
  return context_.streams.Take(kind, tenant_, context_.tenants.QuotaOf(tenant_).streams);
}

grpc::Status CallRecord::Finish(const absl::Status& status) {
  const std::chrono::duration<double> duration = std::chrono::steady_clock::now() - begun_;
  const std::string code = absl::StatusCodeToString(status.code());
  const std::string reason = StatusReason(status);
  context_.metrics.CountCall(rpc_, code, reason, duration.count());
  if (const LogLevel level = LevelOf(status.code()); IsLogged(level)) {
    Log(level, "call ended",
        {{log_key::kRpc, std::string(rpc_)},
         {log_key::kCode, code},
         {log_key::kReason, reason},
         {log_key::kTenant, tenant_.empty() ? "" : TenantDigest(tenant_)},
         {log_key::kBytes, bytes_.load()},
         {log_key::kDurationMs, 1e3 * duration.count()},
         {log_key::kTraceId, trace_.has_value() ? trace_->trace_id : ""}});
  }
  if (context_.spans != nullptr && trace_.has_value() && trace_->sampled) {
    const auto ended = std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch());
    const auto begun = ended - std::chrono::duration_cast<std::chrono::nanoseconds>(duration);
    context_.spans->Add({.parent = *trace_,
                         .rpc = rpc_,
                         .grpc_code = static_cast<int>(status.code()),
                         .reason = reason,
                         .bytes = bytes_,
                         .begun_unix_ns = begun.count(),
                         .ended_unix_ns = ended.count()});
  }
  return ToGrpcStatus(status, call_);
}

}  // namespace chunkkv::rpc
