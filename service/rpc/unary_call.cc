#include "service/rpc/unary_call.h"

#include <utility>

#include "chunkkv/kernels/status.h"

namespace chunkkv::rpc {

UnaryCall::UnaryCall(RpcContext& context, std::string tenant, std::function<bool()> is_cancelled)
    : context_(context),
      tenant_(std::move(tenant)),
      is_cancelled_(std::move(is_cancelled)),
      start_ms_(context.clock.MonotonicMs()) {}

absl::Status UnaryCall::CheckActive() const {
  if (is_cancelled_()) return ErrorStatus(absl::StatusCode::kCancelled, "CANCELLED", "the client went away");
  if (context_.clock.MonotonicMs() - start_ms_ >= context_.limits.max_rpc_ms) {
    return ErrorStatus(absl::StatusCode::kDeadlineExceeded, "RPC_TOO_LONG", "the server's limit for one RPC");
  }
  return absl::OkStatus();
}

}  // namespace chunkkv::rpc
