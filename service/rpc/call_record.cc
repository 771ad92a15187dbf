#include "service/rpc/call_record.h"

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/operation/trace_context.h"
#include "service/rpc/ended_call.h"
#include "service/rpc/grpc_status.h"

namespace chunkkv::rpc {
namespace {

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
  CHUNKKV_ASSIGN_OR_RETURN(caller_, context_.tenants.Resolve(call_));
  return caller_.tenant;
}

absl::StatusOr<StreamSlot> CallRecord::TakeSlot(StreamKind kind) {
  return context_.streams.Take(kind, caller_.tenant, context_.tenants.QuotaOf(caller_.tenant).streams);
}

grpc::Status CallRecord::Finish(const absl::Status& status) {
  const std::chrono::duration<double> duration = std::chrono::steady_clock::now() - begun_;
  Tell({.rpc = rpc_,
        .status = status,
        .tenant = caller_.tenant,
        .bytes = bytes_,
        .seconds = duration.count(),
        .trace_id = trace_.has_value() ? trace_->trace_id : ""},
       context_.metrics);
  if (context_.spans != nullptr && trace_.has_value() && trace_->sampled) {
    const auto ended = std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch());
    const auto begun = ended - std::chrono::duration_cast<std::chrono::nanoseconds>(duration);
    context_.spans->Add({.parent = *trace_,
                         .rpc = rpc_,
                         .grpc_code = static_cast<int>(status.code()),
                         .reason = StatusReason(status),
                         .bytes = bytes_,
                         .begun_unix_ns = begun.count(),
                         .ended_unix_ns = ended.count()});
  }
  return ToGrpcStatus(status, call_);
}

}  // namespace chunkkv::rpc
