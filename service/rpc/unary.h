// Unary RPCs: decoded by gRPC, run on the request executor, answered from there.
#ifndef CHUNKKV_SERVICE_RPC_UNARY_H_
#define CHUNKKV_SERVICE_RPC_UNARY_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <string>

#include "absl/status/status.h"
#include "service/rpc/call_checks.h"
#include "service/rpc/grpc_status.h"
#include "service/rpc/rpc_context.h"

namespace chunkkv::rpc {

// A handler has the work of one RPC; it must not wait for anything but the store.
template <typename Request, typename Response>
using UnaryHandler = absl::Status (*)(RpcContext& context, const std::string& tenant, const Request& request,
                                      Response* response);

template <typename Request, typename Response>
grpc::ServerUnaryReactor* RunUnary(RpcContext& context, grpc::CallbackServerContext* call, const Request* request,
                                   Response* response, UnaryHandler<Request, Response> handler) {
  grpc::ServerUnaryReactor* const reactor = call->DefaultReactor();
  const absl::StatusOr<std::string> tenant = AdmitCall(context, *call);
  if (!tenant.ok()) {
    reactor->Finish(ToGrpcStatus(tenant.status(), *call));
    return reactor;
  }
  context.request_executor.Post([&context, call, reactor, request, response, handler, tenant = *tenant] {
    const absl::Status status = handler(context, tenant, *request, response);
    reactor->Finish(ToGrpcStatus(status, *call));
  });
  return reactor;
}

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_UNARY_H_
