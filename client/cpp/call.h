// What every call has: a context with deadline and cancellation, and the way from a gRPC status to an absl::Status.
#ifndef CHUNKKV_CLIENT_CPP_CALL_H_
#define CHUNKKV_CLIENT_CPP_CALL_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "chunkkv/client/types.h"

namespace chunkkv::client {

// Calls `on_cancel` when the switch is thrown; not any more once destroyed.
class CancellationGuard {
 public:
  CancellationGuard(const std::optional<Cancellation>& cancellation, std::function<void()> on_cancel);
  ~CancellationGuard();
  CancellationGuard(const CancellationGuard&) = delete;
  CancellationGuard& operator=(const CancellationGuard&) = delete;

 private:
  std::shared_ptr<Cancellation::State> state_;
  uint64_t id_ = 0;
};

// What every call of a client says of its caller.
using CallMetadata = std::vector<std::pair<std::string, std::string>>;

// A client context made ready for one call.
class CallContext {
 public:
  CallContext(const CallMetadata& metadata, const CallOptions& options);
  grpc::ClientContext* get() { return &context_; }
  // The call's end as an absl::Status, with the reason of the trailer. Valid once the call has finished.
  absl::Status Convert(const grpc::Status& status) const;

 private:
  grpc::ClientContext context_;
  CancellationGuard guard_;
};

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_CPP_CALL_H_
