// One unary RPC as its handler sees it.
#ifndef CHUNKKV_SERVICE_RPC_UNARY_CALL_H_
#define CHUNKKV_SERVICE_RPC_UNARY_CALL_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "service/rpc/rpc_context.h"

namespace chunkkv::rpc {

// Who calls, with what to work, and for how long.
class UnaryCall {
 public:
  // The server's limit for one RPC counts from here.
  UnaryCall(RpcContext& context, std::string tenant, std::function<bool()> is_cancelled);

  RpcContext& context() const { return context_; }
  EntryStore& store() const { return context_.store; }
  const std::string& tenant() const { return tenant_; }

  // Whether anybody still waits for the answer: to be asked before each item of a batch.
  // Errors: CANCELLED (CANCELLED: also where the client's deadline has passed), DEADLINE_EXCEEDED (RPC_TOO_LONG).
  absl::Status CheckActive() const;

 private:
  RpcContext& context_;
  const std::string tenant_;
  const std::function<bool()> is_cancelled_;
  const int64_t start_ms_;
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_UNARY_CALL_H_
