// One call from its admission to its end: who makes it, and how it ended, in the metrics and in the log.
#ifndef CHUNKKV_SERVICE_RPC_CALL_RECORD_H_
#define CHUNKKV_SERVICE_RPC_CALL_RECORD_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "service/base/caller.h"
#include "service/operation/trace_context.h"
#include "service/rpc/rpc_context.h"

namespace chunkkv::rpc {

// Admit and then Finish, each once; SetBytes from any thread before Finish.
class CallRecord {
 public:
  // `rpc`: the method's name, a literal. `call` must be alive at Finish.
  CallRecord(RpcContext& context, grpc::ServerContextBase& call, const char* rpc);

  // The caller's tenant, or the share group that it names. Errors: RESOURCE_EXHAUSTED (METADATA_TOO_LARGE), and those
  // of the TenantResolver.
  absl::StatusOr<std::string> Admit();
  // Who it is. After Admit.
  const Caller& caller() const { return caller_; }
  // A stream's place. Errors: as StreamSlots::Take. After Admit.
  absl::StatusOr<StreamSlot> TakeSlot(StreamKind kind);
  // Of tensors, that the call moved.
  void SetBytes(int64_t bytes) { bytes_ = bytes; }
  // What gRPC is to be told; sets the trailers.
  grpc::Status Finish(const absl::Status& status);

 private:
  RpcContext& context_;
  grpc::ServerContextBase& call_;
  const char* const rpc_;
  const std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
  Caller caller_;
  const std::optional<TraceContext> trace_;
  std::atomic<int64_t> bytes_{0};
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_CALL_RECORD_H_
