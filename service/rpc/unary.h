// Unary RPCs: decoded and run on the request executor, and answered from there.
#ifndef CHUNKKV_SERVICE_RPC_UNARY_H_
#define CHUNKKV_SERVICE_RPC_UNARY_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <string>

#include "absl/status/status.h"
#include "service/rpc/call_checks.h"
#include "service/rpc/decode_request.h"
#include "service/rpc/grpc_status.h"
#include "service/rpc/rpc_context.h"
#include "service/rpc/stream_output.h"
#include "service/rpc/unary_call.h"

namespace chunkkv::rpc {

// A handler has the work of one RPC; it must not wait for anything but the store.
template <typename Request, typename Response>
using UnaryHandler = absl::Status (*)(UnaryCall& call, const Request& request, Response* response);

template <typename Request, typename Response>
grpc::ServerUnaryReactor* RunUnary(RpcContext& context, grpc::CallbackServerContext* call,
                                   const grpc::ByteBuffer* request_bytes, grpc::ByteBuffer* response_bytes,
                                   UnaryHandler<Request, Response> handler) {
  grpc::ServerUnaryReactor* const reactor = call->DefaultReactor();
  const absl::StatusOr<std::string> tenant = AdmitCall(context, *call);
  if (!tenant.ok()) {
    reactor->Finish(ToGrpcStatus(tenant.status(), *call));
    return reactor;
  }
  UnaryCall unary(context, *tenant, [call] { return call->IsCancelled(); });
  context.request_executor.Post([call, reactor, request_bytes, response_bytes, handler, unary]() mutable {
    Request request;
    Response response;
    absl::Status status = unary.CheckActive();  // it may have waited for long
    if (status.ok()) status = DecodeRequest(*request_bytes, &request);
    if (status.ok()) status = handler(unary, request, &response);
    if (status.ok()) *response_bytes = ToByteBuffer(response);
    reactor->Finish(ToGrpcStatus(status, *call));
  });
  return reactor;
}

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_UNARY_H_
