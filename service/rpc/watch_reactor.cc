#include "service/rpc/watch_reactor.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/rpc/call_checks.h"
#include "service/rpc/grpc_status.h"
#include "service/rpc/wire_entry.h"

namespace chunkkv::rpc {
namespace {

// Messages made ahead of the one that is being written.
constexpr size_t kMessagesAhead = 64;

v1::WatchCachesResponse::RemovalReason ToWire(RemovalReason reason) {
  switch (reason) {
    case RemovalReason::kDeleted:
      return v1::WatchCachesResponse::DELETED;
    case RemovalReason::kEvicted:
      return v1::WatchCachesResponse::EVICTED;
    case RemovalReason::kExpired:
      return v1::WatchCachesResponse::EXPIRED;
    case RemovalReason::kDamaged:
      return v1::WatchCachesResponse::DAMAGED;
  }
  return v1::WatchCachesResponse::REMOVAL_REASON_UNSPECIFIED;
}

}  // namespace

WatchReactor* WatchReactor::Start(RpcContext& context, grpc::CallbackServerContext* call_context,
                                  const grpc::ByteBuffer* request) {
  std::shared_ptr<WatchReactor> reactor(new WatchReactor(context, call_context));
  reactor->self_ = reactor;
  reactor->Admit(request);
  return reactor.get();
}

WatchReactor::WatchReactor(RpcContext& context, grpc::CallbackServerContext* call_context)
    : context_(context),
      call_context_(call_context),
      output_({.write = [this](const grpc::ByteBuffer* message) { StartWrite(message); },
               .finish = [this](const absl::Status& status) { Finish(ToGrpcStatus(status, *call_context_)); },
               .cancel = [this] { call_context_->TryCancel(); }}) {}

void WatchReactor::Admit(const grpc::ByteBuffer* request) {
  absl::StatusOr<std::string> tenant = AdmitCall(context_, *call_context_);
  if (!tenant.ok()) return End(tenant.status());
  tenant_ = *std::move(tenant);
  absl::StatusOr<StreamSlot> slot = context_.streams.Take(StreamKind::kWatch);
  if (!slot.ok()) return End(slot.status());
  slot_ = *std::move(slot);
  deadline_ = context_.timers.Schedule(context_.limits.max_rpc_ms, [weak = weak_from_this()] {
    if (const auto reactor = weak.lock()) {
      reactor->End(ErrorStatus(absl::StatusCode::kDeadlineExceeded, "RPC_TOO_LONG", "the server's limit for one RPC"));
    }
  });
  request_buffer_ = *request;
  context_.request_executor.Post([self = shared_from_this()] { self->Begin(); });
}

void WatchReactor::Begin() {
  v1::WatchCachesRequest wire;
  if (!grpc::GenericDeserialize<grpc::ProtoBufferReader, v1::WatchCachesRequest>(&request_buffer_, &wire).ok()) {
    return End(InvalidArgument("MALFORMED_MESSAGE", "the message is no WatchCachesRequest"));
  }
  if (wire.after_sequence() < 0) return End(InvalidArgument("BAD_SEQUENCE", "after_sequence is negative"));
  sequence_ = wire.after_sequence();
  stop_ = context_.streams.AddStop([weak = weak_from_this()] {
    if (const auto reactor = weak.lock()) {
      reactor->End(StreamSlots::Draining());
    }
  });
  // Never the last owner within `wake`: a watcher is removed outside of it.
  watcher_ = context_.store.AddWatcher([weak = weak_from_this(), &executor = context_.request_executor] {
    executor.Post([weak] {
      if (const auto reactor = weak.lock()) reactor->Advance();
    });
  });
  Advance();
}

void WatchReactor::PostAdvance() {
  context_.request_executor.Post([self = shared_from_this()] { self->Advance(); });
}

void WatchReactor::Advance() {
  {
    MutexLock lock(mutex_);
    if (advancing_) {
      again_ = true;
      return;
    }
    advancing_ = true;
  }
  while (true) {
    SendSome();
    MutexLock lock(mutex_);
    if (!again_) {
      advancing_ = false;
      return;
    }
    again_ = false;
  }
}

void WatchReactor::SendSome() {
  if (!has_begun_) {
    has_begun_ = true;
    if (sequence_ == 0) TakeSnapshot();
  }
  while (!output_.ended() && output_.pending() < kMessagesAhead) {
    if (in_snapshot_) {
      SendOfSnapshot();
    } else if (!SendEvents()) {
      return;
    }
  }
}

void WatchReactor::TakeSnapshot() {
  snapshot_ = context_.store.Snapshot(tenant_, &sequence_);
  snapshot_sent_ = 0;
  in_snapshot_ = true;
  Send(v1::WatchCachesResponse::SNAPSHOT_BEGIN, nullptr);
}

void WatchReactor::SendOfSnapshot() {
  if (snapshot_sent_ < snapshot_.size()) {
    Send(v1::WatchCachesResponse::SNAPSHOT_ENTRY, std::exchange(snapshot_[snapshot_sent_++], nullptr).get());
    return;
  }
  Send(v1::WatchCachesResponse::SNAPSHOT_END, nullptr);
  snapshot_.clear();
  in_snapshot_ = false;
}

bool WatchReactor::SendEvents() {
  bool gap = false;
  int64_t last_sequence = sequence_;
  const bool is_first = !sent_any_;
  const std::vector<StoreEvent> events =
      context_.store.EventsAfter(tenant_, sequence_, kMessagesAhead, &last_sequence, &gap);
  if (gap && is_first) {
    TakeSnapshot();
    return true;
  }
  if (gap) {
    End(ErrorStatus(absl::StatusCode::kResourceExhausted, "SLOW_WATCHER", "events are no longer kept for so long"));
    return false;
  }
  for (const StoreEvent& event : events) {
    v1::WatchCachesResponse response;
    response.set_sequence(event.sequence);
    response.set_event(event.stored ? v1::WatchCachesResponse::STORED : v1::WatchCachesResponse::REMOVED);
    if (!event.stored) response.set_removal_reason(ToWire(event.reason));
    rpc::ToWire(*event.entry, /*with_positions=*/false, response.mutable_entry());
    sent_any_ = true;
    output_.Send(ToByteBuffer(response));
    sequence_ = event.sequence;
  }
  return !events.empty();
}

void WatchReactor::Send(v1::WatchCachesResponse::Event event, const Entry* entry) {
  v1::WatchCachesResponse response;
  response.set_sequence(sequence_);
  response.set_event(event);
  if (entry != nullptr) rpc::ToWire(*entry, /*with_positions=*/false, response.mutable_entry());
  sent_any_ = true;
  output_.Send(ToByteBuffer(response));
}

void WatchReactor::OnWriteDone(bool ok) {
  output_.OnWriteDone(ok);
  if (ok && !output_.ended()) PostAdvance();
}

void WatchReactor::OnCancel() { End(ErrorStatus(absl::StatusCode::kCancelled, "CANCELLED", "the client went away")); }

void WatchReactor::End(const absl::Status& status) {
  if (!output_.End(status)) return;
  context_.timers.Schedule(kStuckMs, [weak = weak_from_this()] {
    if (const auto reactor = weak.lock()) reactor->output_.CancelIfStuck();
  });
}

WatchReactor::~WatchReactor() {
  if (watcher_ != 0) context_.store.RemoveWatcher(watcher_);
  if (stop_ != 0) context_.streams.RemoveStop(stop_);
}

void WatchReactor::OnDone() {
  if (deadline_) context_.timers.Cancel(*deadline_);
  const std::shared_ptr<WatchReactor> last = std::move(self_);
}

}  // namespace chunkkv::rpc
