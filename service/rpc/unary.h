// Unary RPCs: decoded and run on the request executor, and answered from there.
#ifndef CHUNKKV_SERVICE_RPC_UNARY_H_
#define CHUNKKV_SERVICE_RPC_UNARY_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "service/rpc/call_record.h"
#include "service/rpc/decode_request.h"
#include "service/rpc/rpc_context.h"
#include "service/rpc/stream_output.h"
#include "service/rpc/unary_call.h"

namespace chunkkv::rpc {

// `rpc`: the method's name. Calls work(unary, request, finish) on the executor; `finish(status)` ends the call, once,
// from any thread.
template <typename Request, typename Work>
grpc::ServerUnaryReactor* RunPosted(RpcContext& context, grpc::CallbackServerContext* call, const char* rpc,
                                    const grpc::ByteBuffer* request_bytes, Work work) {
  grpc::ServerUnaryReactor* const reactor = call->DefaultReactor();
  const auto record = std::make_shared<CallRecord>(context, *call, rpc);
  const auto finish = [record, reactor](const absl::Status& status) { reactor->Finish(record->Finish(status)); };
  const absl::StatusOr<std::string> tenant = record->Admit();
  if (!tenant.ok()) {
    finish(tenant.status());
    return reactor;
  }
  UnaryCall unary(context, *tenant, [call] { return call->IsCancelled(); });
  context.request_executor.Post(
      [request_bytes, work, unary, finish]() mutable {
        Request request;
        absl::Status status = unary.CheckActive();  // it may have waited for long
        if (status.ok()) status = DecodeRequest(*request_bytes, &request);
        if (!status.ok()) return finish(status);
        work(unary, request, finish);
      },
      TaskQueue::LineOf(*tenant));
  return reactor;
}

// A handler has the work of one RPC; it must not wait for anything but the store.
template <typename Request, typename Response>
using UnaryHandler = absl::Status (*)(UnaryCall& call, const Request& request, Response* response);

template <typename Request, typename Response>
grpc::ServerUnaryReactor* RunUnary(RpcContext& context, grpc::CallbackServerContext* call, const char* rpc,
                                   const grpc::ByteBuffer* request_bytes, grpc::ByteBuffer* response_bytes,
                                   UnaryHandler<Request, Response> handler) {
  return RunPosted<Request>(context, call, rpc, request_bytes,
                            [response_bytes, handler](UnaryCall& unary, const Request& request, const auto& finish) {
                              Response response;
                              const absl::Status status = handler(unary, request, &response);
                              if (status.ok()) *response_bytes = ToByteBuffer(response);
                              finish(status);
                            });
}

// As UnaryHandler, of an RPC without anything to say but its end, which may come later: `done` is called once, from any
// thread.
template <typename Request>
using DeferredHandler = void (*)(UnaryCall& call, const Request& request,
                                 std::function<void(const absl::Status&)> done);

template <typename Request>
grpc::ServerUnaryReactor* RunDeferred(RpcContext& context, grpc::CallbackServerContext* call, const char* rpc,
                                      const grpc::ByteBuffer* request_bytes, grpc::ByteBuffer* response_bytes,
                                      DeferredHandler<Request> handler) {
  return RunPosted<Request>(context, call, rpc, request_bytes,
                            [response_bytes, handler](UnaryCall& unary, const Request& request, const auto& finish) {
                              handler(unary, request, [response_bytes, finish](const absl::Status& status) {
                                const grpc::Slice empty;
                                if (status.ok()) *response_bytes = grpc::ByteBuffer(&empty, 1);
                                finish(status);
                              });
                            });
}

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_UNARY_H_
