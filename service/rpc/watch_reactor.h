// One WatchCaches.
#ifndef CHUNKKV_SERVICE_RPC_WATCH_REACTOR_H_
#define CHUNKKV_SERVICE_RPC_WATCH_REACTOR_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chunkkv/v1/catalog.pb.h"
#include "service/rpc/rpc_context.h"
#include "service/rpc/stream_output.h"

namespace chunkkv::rpc {

// Sends a snapshot, or what happened since, then every event. Events wait in the store's log, not here: a watcher that
// falls behind by more than the log keeps is ended. Lives until gRPC is done with it.
class WatchReactor final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                           public std::enable_shared_from_this<WatchReactor> {
 public:
  static WatchReactor* Start(RpcContext& context, grpc::CallbackServerContext* call_context,
                             const grpc::ByteBuffer* request);
  ~WatchReactor() override;

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  WatchReactor(RpcContext& context, grpc::CallbackServerContext* call_context);
  void Admit(const grpc::ByteBuffer* request);
  void Begin();
  void PostAdvance();
  void Advance();
  void SendSome();
  void TakeSnapshot();
  void SendOfSnapshot();
  // False where there is nothing new.
  bool SendEvents();
  void Send(v1::WatchCachesResponse::Event event, const Entry* entry);
  void End(const absl::Status& status);

  RpcContext& context_;
  grpc::CallbackServerContext* const call_context_;
  StreamOutput output_;
  std::shared_ptr<WatchReactor> self_;  // until OnDone
  StreamSlot slot_;
  std::string tenant_;
  grpc::ByteBuffer request_buffer_;
  std::optional<Timers::Id> deadline_;
  StreamSlots::StopId stop_ = 0;
  EntryStore::WatcherId watcher_ = 0;

  // Touched by one Advance at a time.
  int64_t sequence_ = 0;
  bool has_begun_ = false;
  bool sent_any_ = false;
  std::vector<EntryPtr> snapshot_;
  size_t snapshot_sent_ = 0;
  bool in_snapshot_ = false;

  Mutex mutex_;
  bool advancing_ ABSL_GUARDED_BY(mutex_) = false;
  bool again_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_WATCH_REACTOR_H_
