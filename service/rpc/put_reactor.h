// One stream of PutCache.
#ifndef CHUNKKV_SERVICE_RPC_PUT_REACTOR_H_
#define CHUNKKV_SERVICE_RPC_PUT_REACTOR_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "service/rpc/call_record.h"
#include "service/rpc/part_message.h"
#include "service/rpc/put_call.h"
#include "service/rpc/rpc_context.h"
#include "service/rpc/stream_output.h"

namespace chunkkv::rpc {

// Reads one message at a time, and the next one only when this one has found its place: a client that is ahead of what
// may be staged waits in its transport. Lives until gRPC is done with it.
class PutReactor final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                         public PutStream,
                         public std::enable_shared_from_this<PutReactor> {
 public:
  static PutReactor* Start(RpcContext& context, grpc::CallbackServerContext* call_context);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override { output_.OnWriteDone(ok); }
  void OnCancel() override;
  void OnDone() override;

  void Send(const v1::PutCacheResponse& response) override { output_.Send(ToByteBuffer(response)); }
  void Received(int64_t bytes) override { record_.SetBytes(bytes); }
  void End(const absl::Status& status) override;

 private:
  // What the next message may be. Changed only while no read is outstanding, or by what a read brings.
  enum class Phase { kFirst, kOpen, kCommitting };

  PutReactor(RpcContext& context, grpc::CallbackServerContext* call_context);
  void Admit();
  void ReadNext();
  void Take();
  void TakeOther(const v1::PutCacheRequest& message);
  void TakePart();
  absl::StatusOr<bool> TakeRegionPart(PutCall& call, const PartHeader& header, std::function<void()> resume);
  absl::StatusOr<bool> TakeChannelPart(const std::shared_ptr<PutCall>& call, const PartHeader& header,
                                       std::function<void()> resume);
  void Begin(const v1::Begin& begin);
  absl::Status TryBegin(const v1::Begin& begin);
  void Attach(const v1::Attach& attach);
  void AwaitHalfClose(const v1::Commit& commit);
  void CommitOnce();
  void HalfClosed();
  // Ends the session, or this stream where it has none.
  void Fail(const absl::Status& status);
  std::shared_ptr<PutCall> call() const;

  RpcContext& context_;
  grpc::CallbackServerContext* const call_context_;
  CallRecord record_;
  StreamOutput output_;
  std::shared_ptr<PutReactor> self_;  // until OnDone
  StreamSlot slot_;
  std::string tenant_;
  std::shared_ptr<IdleTimer> idle_;  // until the session's takes over
  std::optional<Timers::Id> deadline_;

  // The message being taken; touched by one thread at a time.
  grpc::ByteBuffer buffer_;
  PutMessage message_;
  Phase phase_ = Phase::kFirst;
  bool is_attached_ = false;
  PutSession::StreamId stream_id_ = 0;
  std::optional<Bytes16> content_digest_;
  std::atomic<bool> committed_{false};

  mutable Mutex mutex_;
  std::shared_ptr<PutCall> call_ ABSL_GUARDED_BY(mutex_);
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_PUT_REACTOR_H_
