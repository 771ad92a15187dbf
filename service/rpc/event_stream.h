// A stream on which the server tells of things as they happen, until the client or a limit ends it.
#ifndef CHUNKKV_SERVICE_RPC_EVENT_STREAM_H_
#define CHUNKKV_SERVICE_RPC_EVENT_STREAM_H_

#include <google/protobuf/message_lite.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "service/rpc/call_record.h"
#include "service/rpc/rpc_context.h"
#include "service/rpc/stream_output.h"

namespace chunkkv::rpc {

// What such streams have in common: admission, the deadline, draining, and sending by one thread at a time, not far
// ahead of the client. A subclass begins and says what to send. Lives until gRPC is done with it.
class EventStream : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                    public std::enable_shared_from_this<EventStream> {
 public:
  // Admits the call and begins it on the request executor.
  static EventStream* Start(std::shared_ptr<EventStream> stream, const grpc::ByteBuffer* request);
  ~EventStream() override;

  void OnWriteDone(bool ok) final;
  void OnCancel() final;
  void OnDone() final;

 protected:
  // `rpc`: the method's name. Those that hold something (kHold) go on while the server drains.
  EventStream(RpcContext& context, grpc::CallbackServerContext* call_context, const char* rpc,
              StreamKind kind = StreamKind::kWatch);

  // Takes the request, once, before any SendSome. An error ends the stream.
  virtual absl::Status Begin(const grpc::ByteBuffer& request) = 0;
  // Sends while there is something new and HasRoom. Called by one thread at a time: at the beginning, after messages
  // were written, and after Wake.
  virtual void SendSome() = 0;

  // To be called, from any thread, when there is something new. Does nothing once the stream is gone.
  std::function<void()> Wake();
  // Whether fewer than `messages_ahead` messages are being written or wait for it.
  bool HasRoom(size_t messages_ahead = 64) const;
  void Send(const google::protobuf::MessageLite& message) { output_.Send(ToByteBuffer(message)); }
  void End(const absl::Status& status);
  RpcContext& context() const { return context_; }
  const std::string& tenant() const { return tenant_; }

 private:
  void Admit(const grpc::ByteBuffer* request);
  void BeginNow();
  void Advance();

  RpcContext& context_;
  grpc::CallbackServerContext* const call_context_;
  const StreamKind kind_;
  CallRecord record_;
  StreamOutput output_;
  std::shared_ptr<EventStream> self_;  // until OnDone
  StreamSlot slot_;
  std::string tenant_;
  TaskQueue::LineId line_ = 0;  // the tenant's
  grpc::ByteBuffer request_buffer_;
  std::optional<Timers::Id> deadline_;
  StreamSlots::StopId stop_ = 0;

  Mutex mutex_;
  bool has_begun_ ABSL_GUARDED_BY(mutex_) = false;
  bool advancing_ ABSL_GUARDED_BY(mutex_) = false;
  bool again_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_EVENT_STREAM_H_
