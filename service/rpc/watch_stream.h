// One WatchCaches.
#ifndef CHUNKKV_SERVICE_RPC_WATCH_STREAM_H_
#define CHUNKKV_SERVICE_RPC_WATCH_STREAM_H_

#include <cstdint>
#include <vector>

#include "chunkkv/v1/catalog.pb.h"
#include "service/rpc/event_stream.h"

namespace chunkkv::rpc {

// Sends a snapshot, or what happened since, then every event. Events wait in the store's log, not here: a watcher that
// falls behind by more than the log keeps is ended.
class WatchStream final : public EventStream {
 public:
  WatchStream(RpcContext& context, grpc::CallbackServerContext* call_context)
      : EventStream(context, call_context, "WatchCaches") {}
  ~WatchStream() override;

 private:
  absl::Status Begin(const grpc::ByteBuffer& request) override;
  void SendSome() override;
  void TakeSnapshot();
  void SendOfSnapshot();
  // False where there is nothing new.
  bool SendEvents();
  void SendEvent(v1::WatchCachesResponse::Event event, const PlacedEntry* entry);

  EntryStore::WatcherId watcher_ = 0;
  int64_t sequence_ = 0;
  bool sent_any_ = false;
  std::vector<PlacedEntry> snapshot_;
  size_t snapshot_sent_ = 0;
  bool in_snapshot_ = false;
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_WATCH_STREAM_H_
