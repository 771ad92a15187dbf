// One GetCache.
#ifndef CHUNKKV_SERVICE_RPC_GET_REACTOR_H_
#define CHUNKKV_SERVICE_RPC_GET_REACTOR_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <optional>
#include <string>

#include "chunkkv/v1/get.pb.h"
#include "service/rpc/call_record.h"
#include "service/rpc/channel_access.h"
#include "service/rpc/get_request.h"
#include "service/rpc/idle_timer.h"
#include "service/rpc/message_source.h"
#include "service/rpc/rpc_context.h"
#include "service/rpc/stream_output.h"

namespace chunkkv::rpc {

// Finds the entry, perhaps after a wait, then keeps a few messages ahead of the transport. Everything but the handing
// over of messages runs on the request executor. Lives until gRPC is done with it.
class GetReactor final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                         public std::enable_shared_from_this<GetReactor> {
 public:
  static GetReactor* Start(RpcContext& context, grpc::CallbackServerContext* call_context,
                           const grpc::ByteBuffer* request);
  ~GetReactor() override;

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  GetReactor(RpcContext& context, grpc::CallbackServerContext* call_context);
  void Admit(const grpc::ByteBuffer* request);
  void Post(void (GetReactor::*step)());
  void Find();
  absl::Status TryFind();
  void WaitForPut();
  void Found(absl::StatusOr<EntryPtr> entry);
  absl::Status TryServe(const EntryPtr& entry);
  absl::StatusOr<ChannelAccess> AccessToChannel() const;
  absl::StatusOr<std::unique_ptr<MessageSource>> SourceOf(const EntryPtr& entry, const ServedRange& range,
                                                          v1::GetHeader* header);
  void Produce();
  void Stalled();
  void Drop();
  void End(const absl::Status& status);

  RpcContext& context_;
  grpc::CallbackServerContext* const call_context_;
  CallRecord record_;
  StreamOutput output_;
  std::shared_ptr<GetReactor> self_;  // until OnDone
  StreamSlot slot_;
  std::string tenant_;
  std::optional<Timers::Id> deadline_;
  std::shared_ptr<IdleTimer> idle_;  // once something is sent
  int64_t begun_ms_ = 0;

  // Touched by one step at a time; steps follow each other.
  grpc::ByteBuffer request_buffer_;
  GetRequest request_;
  TransferPtr transfer_;  // where the client has named one, and memory of its own is touched

  Mutex mutex_;
  std::unique_ptr<MessageSource> source_ ABSL_GUARDED_BY(mutex_);
  EntryPtr entry_ ABSL_GUARDED_BY(mutex_);
  bool producing_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<EntryStore::WaitId> wait_ ABSL_GUARDED_BY(mutex_);
  std::optional<Timers::Id> wait_timer_ ABSL_GUARDED_BY(mutex_);
  bool wait_over_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_GET_REACTOR_H_
