// A put as gRPC sees it: one session and the streams that carry it.
#ifndef CHUNKKV_SERVICE_RPC_PUT_CALL_H_
#define CHUNKKV_SERVICE_RPC_PUT_CALL_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "chunkkv/v1/put.pb.h"
#include "service/base/mutex.h"
#include "service/rpc/channel_access.h"
#include "service/rpc/idle_timer.h"
#include "service/rpc/rpc_context.h"
#include "service/session/put_session.h"

namespace chunkkv::rpc {

// One of the streams of a session. Thread-safe.
class PutStream {
 public:
  virtual ~PutStream() = default;
  virtual void Send(const v1::PutCacheResponse& response) = 0;
  // What the session took, for the stream's record; before its end.
  virtual void Received(int64_t bytes) = 0;
  // After what has been sent, where OK. Only the first call counts.
  virtual void End(const absl::Status& status) = 0;
};

// Hands the session's news to its streams: selections to the first, the end to all. Keeps itself alive until the
// session has ended. Thread-safe.
class PutCall final : public PutSession::Listener, public std::enable_shared_from_this<PutCall> {
 public:
  // Begins a session, in the session table, that `first` is told of. Errors: as PutSession::Create.
  // `transfer`: of parts in regions and on channels; null where the client has not named one.
  static absl::StatusOr<std::shared_ptr<PutCall>> Begin(RpcContext& context, PutRequest request, TransferPtr transfer,
                                                        std::shared_ptr<PutStream> first);

  // One more stream that carries parts. Errors: as PutSession::OpenStream.
  absl::StatusOr<PutSession::StreamId> Attach(std::shared_ptr<PutStream> stream);
  // `stream` brings nothing more, and is no longer told of the end unless it is the first. Fails the session where it
  // was the last one and none has brought the commit.
  void HalfClose(const PutStream* stream, PutSession::StreamId id);
  PutSession::StreamId first_stream_id() const { return first_stream_id_; }
  PutSession& session() { return *session_; }
  // Errors: FAILED_PRECONDITION REGIONS_DISABLED, NOT_FOUND REGION_NOT_FOUND, INVALID_ARGUMENT TRANSFER_ID_MISSING.
  absl::StatusOr<RegionAccess> AccessTo(const Bytes16& region_id) const;
  // Errors: as ChannelAccess::To.
  absl::StatusOr<ChannelAccess> AccessToChannel(const Bytes16& channel_id) const;
  IdleTimer& idle() { return *idle_; }

  // The commit came on `committer`, which is told of the end as the first stream is.
  void Commit(const std::shared_ptr<PutStream>& committer, PutSession::StreamId id,
              const std::optional<Bytes16>& content_digest);
  // Ends the session, and with it all streams, unless it has ended.
  void Fail(const absl::Status& status) { session_->Abort(status); }

  void OnSelection(int32_t group, absl::Span<const int32_t> positions, bool everything) override;
  void OnConsumed(const PartHeader& part) override;
  // The part is received as this message of the channel, from now on.
  void OnReady(const PartHeader& part, const Bytes16& channel_id, int64_t sequence);
  void OnEnd(const absl::Status& status, const PutSummary& summary) override;

 private:
  PutCall(RpcContext& context, std::string tenant, TransferPtr transfer, std::shared_ptr<PutStream> first);
  void Announce();
  // To the first stream, once the client knows of the session.
  void Tell(v1::PutCacheResponse response);

  RpcContext& context_;
  const std::string tenant_;
  const TransferPtr transfer_;
  const std::shared_ptr<TransferGroup> group_ = std::make_shared<TransferGroup>();  // of parts on channels
  Bytes16 id_{};
  std::shared_ptr<PutSession> session_;
  PutSession::StreamId first_stream_id_ = 0;
  std::shared_ptr<IdleTimer> idle_;

  Mutex mutex_;
  std::shared_ptr<PutCall> self_ ABSL_GUARDED_BY(mutex_);  // until the end
  std::shared_ptr<PutStream> first_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<PutStream> committer_ ABSL_GUARDED_BY(mutex_);  // null: the first
  std::vector<std::shared_ptr<PutStream>> attached_ ABSL_GUARDED_BY(mutex_);
  int32_t open_streams_ ABSL_GUARDED_BY(mutex_) = 1;  // that have not half-closed
  bool has_commit_ ABSL_GUARDED_BY(mutex_) = false;
  // What the session said before the client knew of it.
  std::vector<v1::PutCacheResponse> early_ ABSL_GUARDED_BY(mutex_);
  bool announced_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_PUT_CALL_H_
