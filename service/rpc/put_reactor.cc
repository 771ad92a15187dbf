#include "service/rpc/put_reactor.h"

#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/rpc/call_checks.h"
#include "service/rpc/channel_receiver.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_channel.h"
#include "service/rpc/wire_part.h"
#include "service/rpc/wire_put.h"
#include "service/rpc/wire_region.h"

namespace chunkkv::rpc {
namespace {

absl::Status Cancelled() { return ErrorStatus(absl::StatusCode::kCancelled, "CANCELLED", "the client went away"); }

}  // namespace

PutReactor* PutReactor::Start(RpcContext& context, grpc::CallbackServerContext* call_context) {
  std::shared_ptr<PutReactor> reactor(new PutReactor(context, call_context));
  reactor->self_ = reactor;
  reactor->Admit();
  return reactor.get();
}

PutReactor::PutReactor(RpcContext& context, grpc::CallbackServerContext* call_context)
    : context_(context),
      call_context_(call_context),
      record_(context, *call_context, "PutCache"),
      output_({.write = [this](const grpc::ByteBuffer* message) { StartWrite(message); },
               .finish = [this](const absl::Status& status) { Finish(record_.Finish(status)); },
               .cancel = [this] { call_context_->TryCancel(); }}) {}

void PutReactor::Admit() {
  absl::StatusOr<std::string> tenant = record_.Admit();
  if (!tenant.ok()) return End(tenant.status());
  tenant_ = *std::move(tenant);
  absl::StatusOr<StreamSlot> slot = record_.TakeSlot(StreamKind::kPut);
  if (!slot.ok()) return End(slot.status());
  slot_ = *std::move(slot);
  idle_ = IdleTimer::Start(context_.timers, context_.limits.idle_timeout_ms, [weak = weak_from_this()] {
    if (const auto reactor = weak.lock()) {
      reactor->Fail(ErrorStatus(absl::StatusCode::kDeadlineExceeded, "IDLE", "nothing arrived for the idle limit"));
    }
  });
  deadline_ = context_.timers.Schedule(context_.limits.max_rpc_ms, [weak = weak_from_this()] {
    if (const auto reactor = weak.lock()) {
      reactor->Fail(ErrorStatus(absl::StatusCode::kDeadlineExceeded, "RPC_TOO_LONG", "the server's limit for one RPC"));
    }
  });
  ReadNext();
}

void PutReactor::ReadNext() {
  message_ = PutMessage();
  output_.IfOpen([this] { StartRead(&buffer_); });
}

void PutReactor::OnReadDone(bool ok) {
  if (!ok) return HalfClosed();
  idle_->Touch();
  absl::StatusOr<PutMessage> message = ParsePutMessage(buffer_);
  buffer_.Clear();
  if (!message.ok()) return Fail(message.status());
  message_ = *std::move(message);
  Take();
}

void PutReactor::Take() {
  const auto type = message_.other.message_case();
  if (phase_ == Phase::kCommitting) return Fail(InvalidArgument("AFTER_COMMIT", "a message follows the commit"));
  if (phase_ == Phase::kFirst) {
    switch (type) {
      case v1::PutCacheRequest::kBegin:
        // Digests of a long prompt take a while.
        idle_->Pause();
        return context_.request_executor.Post(
            [self = shared_from_this()] { self->Begin(self->message_.other.begin()); }, TaskQueue::LineOf(tenant_));
      case v1::PutCacheRequest::kAttach:
        return Attach(message_.other.attach());
      default:
        return Fail(InvalidArgument("FIRST_MESSAGE", "the first message is neither begin nor attach"));
    }
  }
  call()->idle().Touch();
  if (message_.part) return TakePart();
  TakeOther(message_.other);
}

void PutReactor::TakeOther(const v1::PutCacheRequest& message) {
  switch (message.message_case()) {
    case v1::PutCacheRequest::kBegin:
    case v1::PutCacheRequest::kAttach:
      return Fail(InvalidArgument("BEGIN_TWICE", "begin or attach can only be the first message"));
    case v1::PutCacheRequest::kPositions: {
      const auto& positions = message.positions().positions();
      const absl::Status status = call()->session().SetPositions(
          message.positions().group(), absl::MakeConstSpan(positions.data(), positions.size()));
      if (!status.ok()) return Fail(status);
      return ReadNext();
    }
    case v1::PutCacheRequest::kCommit:
      return AwaitHalfClose(message.commit());
    default:
      return Fail(InvalidArgument("EMPTY_MESSAGE", "the message is unset"));
  }
}

void PutReactor::TakePart() {
  const absl::StatusOr<PartHeader> header = PartHeaderFromWire(*message_.part);
  if (!header.ok()) return Fail(header.status());
  const std::shared_ptr<PutCall> call = this->call();
  // A part that is ahead of what may be open waits here, unread ones behind it. Once PlacePart has said so, the message
  // belongs to `resume`, perhaps already in another thread.
  const auto resume = [self = shared_from_this(), call] {
    call->idle().Touch();
    self->context_.request_executor.Post([self] { self->TakePart(); }, TaskQueue::LineOf(self->tenant_));
  };
  const bool is_on_channel = message_.part->part.payload().has_nccl();
  if (header->in_region || is_on_channel) {
    const absl::StatusOr<bool> taken =
        is_on_channel ? TakeChannelPart(call, *header, resume) : TakeRegionPart(*call, *header, resume);
    if (!taken.ok()) return Fail(taken.status());
    if (*taken) ReadNext();
    return;
  }
  const absl::StatusOr<PutSession::Placement> placement = call->session().PlacePart(stream_id_, *header, resume);
  if (placement.ok() && placement->later) return;
  if (!placement.ok()) return Fail(placement.status());
  const uint64_t checksum = CopyToPieces(message_.slices, *message_.part->inline_bytes, placement->pieces);
  const absl::Status status = call->session().FinishPart(placement->ticket, checksum == header->checksum);
  if (!status.ok()) return Fail(status);
  ReadNext();
}

absl::StatusOr<bool> PutReactor::TakeRegionPart(PutCall& call, const PartHeader& header, std::function<void()> resume) {
  const v1::RegionSlice& slice = message_.part->part.payload().region();
  CHUNKKV_ASSIGN_OR_RETURN(const Bytes16 region_id, RegionIdFromWire(slice.region_id()));
  CHUNKKV_ASSIGN_OR_RETURN(RegionAccess access, call.AccessTo(region_id));
  return call.session().TakeRegionPart(stream_id_, header, std::move(access), RegionSliceFromWire(slice),
                                       std::move(resume));
}

absl::StatusOr<bool> PutReactor::TakeChannelPart(const std::shared_ptr<PutCall>& call, const PartHeader& header,
                                                 std::function<void()> resume) {
  CHUNKKV_ASSIGN_OR_RETURN(const Bytes16 channel_id, ChannelOfPart(message_.part->part.payload().nccl()));
  CHUNKKV_ASSIGN_OR_RETURN(const ChannelAccess access, call->AccessToChannel(channel_id));
  ChannelReceipt receipt;
  receipt.header = header;
  CHUNKKV_ASSIGN_OR_RETURN(std::optional<ChannelHold> hold, access.Hold(call->idle(), resume));
  if (!hold) return false;
  receipt.hold = *std::move(hold);
  CHUNKKV_ASSIGN_OR_RETURN(receipt.placement, call->session().PlacePart(stream_id_, header, std::move(resume)));
  if (receipt.placement.later) return false;
  ReceiveOverChannel(context_, call, access, std::move(receipt), shared_from_this());
  return true;
}

void PutReactor::Begin(const v1::Begin& begin) {
  const absl::Status status = TryBegin(begin);
  idle_->Stop();
  if (!status.ok()) Fail(status);
}

absl::Status PutReactor::TryBegin(const v1::Begin& begin) {
  if (context_.streams.draining()) return StreamSlots::Draining();
  CHUNKKV_RETURN_IF_ERROR(CheckFeatures(begin.required_features()));
  CHUNKKV_ASSIGN_OR_RETURN(PutRequest request, PutRequestFromWire(begin, tenant_));
  if (const EntryPtr stored = context_.store.FindStored(IdentityOf(request))) {
    const auto& digest = stored->header().content_digest;
    if (request.content_digest && digest && *request.content_digest != *digest) {
      return ErrorStatus(absl::StatusCode::kAlreadyExists, "CONTENT_DIFFERS",
                         "content_digest: the entry that is stored has another one");
    }
    context_.recorder.NoteStored(request);
    v1::PutCacheResponse response;
    v1::Begun::AlreadyStored* already = response.mutable_begun()->mutable_already_stored();
    already->set_entry_id(ToString(stored->header().entry_id));
    already->set_durability(v1::DURABILITY_MEMORY);
    already->set_size_bytes(stored->header().BodyBytes());
    Send(response);
    End(absl::OkStatus());
    return absl::OkStatus();
  }
  if (!request.spec.profile.empty()) {
    CHUNKKV_ASSIGN_OR_RETURN(request.profile_groups,
                             context_.profiles.GroupsOf(Fingerprint(request.model), request.spec.profile));
  }
  TransferPtr transfer;
  const bool touches_memory = context_.local.CheckEnabled().ok() || context_.channels.status().ok();
  if (touches_memory && !begin.transfer_id().empty()) {
    CHUNKKV_ASSIGN_OR_RETURN(transfer, context_.local.transfers.Begin(tenant_, begin.transfer_id()));
  }
  CHUNKKV_ASSIGN_OR_RETURN(std::shared_ptr<PutCall> call,
                           PutCall::Begin(context_, std::move(request), std::move(transfer), shared_from_this()));
  stream_id_ = call->first_stream_id();
  phase_ = Phase::kOpen;
  bool cancelled;
  {
    MutexLock lock(mutex_);
    call_ = call;
    cancelled = cancelled_;
  }
  if (cancelled || output_.ended()) return Cancelled();  // while the session was being made
  ReadNext();
  return absl::OkStatus();
}

void PutReactor::Attach(const v1::Attach& attach) {
  const auto session_id = FixedFromWire<16>(attach.session_id(), "BAD_SESSION_ID", "attach.session_id");
  if (!session_id.ok()) return Fail(session_id.status());
  const auto call = context_.sessions.Find(*session_id, tenant_);
  if (!call.ok()) return Fail(call.status());
  const auto id = (*call)->Attach(shared_from_this());
  if (!id.ok()) return Fail(id.status());
  idle_->Stop();
  stream_id_ = *id;
  is_attached_ = true;
  phase_ = Phase::kOpen;
  bool cancelled;
  {
    MutexLock lock(mutex_);
    call_ = *call;
    cancelled = cancelled_;
  }
  if (cancelled) return Fail(Cancelled());
  ReadNext();
}

// A commit is the last message. Whoever half-closes behind it is sure that nothing else was taken for part of the put;
// for whoever does not, the commit goes ahead after a moment.
void PutReactor::AwaitHalfClose(const v1::Commit& commit) {
  const auto digest = OptionalFromWire<16>(commit.content_digest(), "BAD_CONTENT_DIGEST", "commit.content_digest");
  if (!digest.ok()) return Fail(digest.status());
  content_digest_ = *digest;
  phase_ = Phase::kCommitting;
  context_.timers.Schedule(context_.limits.commit_grace_ms, [weak = weak_from_this()] {
    if (const auto reactor = weak.lock()) reactor->CommitOnce();
  });
  ReadNext();
}

void PutReactor::CommitOnce() {
  if (!committed_.exchange(true)) call()->Commit(shared_from_this(), stream_id_, content_digest_);
}

void PutReactor::HalfClosed() {
  if (output_.ended()) return;
  if (call_context_->IsCancelled()) return Fail(Cancelled());
  switch (phase_) {
    case Phase::kFirst:
      return Fail(InvalidArgument("NO_MESSAGE", "the stream ended before its first message"));
    case Phase::kOpen:
      call()->HalfClose(this, stream_id_);
      if (is_attached_) End(absl::OkStatus());
      return;
    case Phase::kCommitting:
      return CommitOnce();
  }
}

void PutReactor::OnCancel() {
  {
    MutexLock lock(mutex_);
    cancelled_ = true;
  }
  if (!output_.ended()) Fail(Cancelled());
}

void PutReactor::Fail(const absl::Status& status) {
  // The session's first failure, which may be another stream's, is told to all its streams.
  if (const auto call = this->call()) return call->Fail(status);
  End(status);
}

void PutReactor::End(const absl::Status& status) {
  if (!output_.End(status)) return;
  const int64_t patience_ms = status.ok() ? context_.limits.idle_timeout_ms : kStuckMs;
  context_.timers.Schedule(patience_ms, [weak = weak_from_this()] {
    if (const auto reactor = weak.lock()) reactor->output_.CancelIfStuck();
  });
}

std::shared_ptr<PutCall> PutReactor::call() const {
  MutexLock lock(mutex_);
  return call_;
}

void PutReactor::OnDone() {
  if (deadline_) context_.timers.Cancel(*deadline_);
  if (idle_ != nullptr) idle_->Stop();
  const std::shared_ptr<PutReactor> last = std::move(self_);
}

}  // namespace chunkkv::rpc
