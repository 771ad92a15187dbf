#include "service/rpc/get_reactor.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/rpc/channel_sender.h"
#include "service/rpc/local_get.h"
#include "service/rpc/part_source.h"
#include "service/rpc/region_writer.h"

namespace chunkkv::rpc {
namespace {

// Messages made ahead of the one that is being written.
constexpr size_t kMessagesAhead = 3;

absl::Status NotFound() { return ErrorStatus(absl::StatusCode::kNotFound, "ENTRY_NOT_FOUND", "no such entry"); }

}  // namespace

GetReactor* GetReactor::Start(RpcContext& context, grpc::CallbackServerContext* call_context,
                              const grpc::ByteBuffer* request) {
  std::shared_ptr<GetReactor> reactor(new GetReactor(context, call_context));
  reactor->self_ = reactor;
  reactor->Admit(request);
  return reactor.get();
}

GetReactor::GetReactor(RpcContext& context, grpc::CallbackServerContext* call_context)
    : context_(context),
      call_context_(call_context),
      record_(context, *call_context, "GetCache"),
      output_({.write = [this](const grpc::ByteBuffer* message) { StartWrite(message); },
               .finish = [this](const absl::Status& status) { Finish(record_.Finish(status)); },
               .cancel = [this] { call_context_->TryCancel(); }}) {}

void GetReactor::Admit(const grpc::ByteBuffer* request) {
  absl::StatusOr<std::string> tenant = record_.Admit();
  if (!tenant.ok()) return End(tenant.status());
  tenant_ = *std::move(tenant);
  absl::StatusOr<StreamSlot> slot = record_.TakeSlot(StreamKind::kGet);
  if (!slot.ok()) return End(slot.status());
  slot_ = *std::move(slot);
  deadline_ = context_.timers.Schedule(context_.limits.max_rpc_ms, [weak = weak_from_this()] {
    if (const auto reactor = weak.lock()) {
      reactor->End(ErrorStatus(absl::StatusCode::kDeadlineExceeded, "RPC_TOO_LONG", "the server's limit for one RPC"));
      reactor->output_.CancelIfStuck();
    }
  });
  request_buffer_ = *request;
  Post(&GetReactor::Find);
}

void GetReactor::Post(void (GetReactor::*step)()) {
  context_.request_executor.Post([self = shared_from_this(), step] { (self.get()->*step)(); },
                                 TaskQueue::LineOf(tenant_));
}

void GetReactor::Find() {
  const absl::Status status = TryFind();
  if (!status.ok()) End(status);
}

absl::Status GetReactor::TryFind() {
  v1::GetCacheRequest wire;
  if (!grpc::GenericDeserialize<grpc::ProtoBufferReader, v1::GetCacheRequest>(&request_buffer_, &wire).ok()) {
    return InvalidArgument("MALFORMED_MESSAGE", "the message is no GetCacheRequest");
  }
  request_buffer_.Clear();
  CHUNKKV_ASSIGN_OR_RETURN(request_, GetRequestFromWire(wire, tenant_, context_.limits, context_.store));
  if (request_.target.map || request_.target.IsInRegions()) CHUNKKV_RETURN_IF_ERROR(context_.local.CheckEnabled());
  if (request_.target.channel_id) CHUNKKV_RETURN_IF_ERROR(AccessToChannel().status());
  if (request_.target.IsInRegions() || (request_.target.channel_id && !request_.transfer_id.empty())) {
    CHUNKKV_ASSIGN_OR_RETURN(transfer_, context_.local.transfers.Begin(tenant_, request_.transfer_id));
  }
  // An entry that must be a certain one cannot be waited for: what is put later has another id.
  const bool may_wait = request_.wait_ms > 0 && !request_.if_entry_id;
  absl::StatusOr<EntryPtr> entry =
      context_.store.Get(request_.prompt, request_.accept, request_.if_entry_id, may_wait ? 0 : request_.miss_tokens);
  if (entry.ok()) return TryServe(*entry);
  if (!may_wait) return entry.status();
  WaitForPut();
  return absl::OkStatus();
}

void GetReactor::WaitForPut() {
  const EntryStore::WaitId id = context_.store.Wait(
      request_.prompt, request_.accept,
      [self = shared_from_this()](absl::StatusOr<EntryPtr> entry) {
        self->context_.request_executor.Post(
            [self, entry = std::move(entry)]() mutable { self->Found(std::move(entry)); },
            TaskQueue::LineOf(self->tenant_));
      },
      request_.miss_tokens);
  MutexLock lock(mutex_);
  if (wait_over_) {
    // Found, or ended, while this was under way.
    context_.store.CancelWait(id);
    return;
  }
  wait_ = id;
  wait_timer_ = context_.timers.Schedule(request_.wait_ms, [weak = weak_from_this()] {
    if (const auto reactor = weak.lock()) reactor->End(NotFound());
  });
}

void GetReactor::Found(absl::StatusOr<EntryPtr> entry) {
  {
    MutexLock lock(mutex_);
    wait_over_ = true;
    wait_.reset();
    if (wait_timer_) context_.timers.Cancel(*wait_timer_);
  }
  const absl::Status status = entry.ok() ? TryServe(*entry) : entry.status();
  if (!status.ok()) End(status);
}

absl::Status GetReactor::TryServe(const EntryPtr& entry) {
  CHUNKKV_ASSIGN_OR_RETURN(ServedRange range, RangeOf(request_, entry->header()));
  range.options.cancelled = [this] { return output_.ended(); };  // the source is this reactor's own
  v1::GetCacheResponse response;
  ToWire(*entry, range, response.mutable_header());
  begun_ms_ = context_.timers.NowMs();
  idle_ = IdleTimer::Start(context_.timers, context_.limits.idle_timeout_ms, [weak = weak_from_this()] {
    if (const auto reactor = weak.lock()) reactor->Stalled();
  });
  CHUNKKV_ASSIGN_OR_RETURN(std::unique_ptr<MessageSource> source, SourceOf(entry, range, response.mutable_header()));
  output_.Send(ToByteBuffer(response));
  {
    MutexLock lock(mutex_);
    entry_ = entry;
    source_ = std::move(source);
    producing_ = true;
  }
  Produce();
  return absl::OkStatus();
}

absl::StatusOr<ChannelAccess> GetReactor::AccessToChannel() const {
  return ChannelAccess::To(context_.channels, tenant_, *request_.target.channel_id, std::make_shared<TransferGroup>(),
                           transfer_);
}

absl::StatusOr<std::unique_ptr<MessageSource>> GetReactor::SourceOf(const EntryPtr& entry, const ServedRange& range,
                                                                    v1::GetHeader* header) {
  GetTarget& target = request_.target;
  if (target.map) {
    CHUNKKV_RETURN_IF_ERROR(OfferMapping(context_, record_.caller(), entry, std::nullopt, header->mutable_mapping()));
    return std::make_unique<NothingToSend>();
  }
  if (target.channel_id) {
    CHUNKKV_ASSIGN_OR_RETURN(ChannelAccess access, AccessToChannel());
    return ChannelSender::Create(entry, range, request_.max_part_bytes, std::move(access), idle_, context_.store,
                                 context_.compactor);
  }
  if (!target.IsInRegions()) {
    return PartSource::Create(entry, range, request_.max_part_bytes, context_.store, context_.compactor);
  }
  if (target.whole) {
    CHUNKKV_ASSIGN_OR_RETURN(target.slices, LayOutTarget(entry->header(), range, *target.whole));
    for (const TargetSlice& slice : target.slices) ToWire(slice, header->add_places());
  }
  return RegionWriter::Create(entry, range, target.slices, transfer_, context_.local.regions, context_.store,
                              context_.compactor, context_.compaction_executor);
}

void GetReactor::OnWriteDone(bool ok) {
  idle_->Touch();
  output_.OnWriteDone(ok);
  if (!ok) return;
  {
    MutexLock lock(mutex_);
    if (source_ == nullptr || producing_) return;
    producing_ = true;
  }
  Post(&GetReactor::Produce);
}

// Runs where `producing_` is true, and in one thread at a time therefore.
void GetReactor::Produce() {
  while (true) {
    if (output_.ended()) return Drop();
    MessageSource* source;
    {
      MutexLock lock(mutex_);
      source = source_.get();
      if (output_.pending() > kMessagesAhead) {
        producing_ = false;
        return;
      }
    }
    grpc::ByteBuffer message;
    const absl::StatusOr<MessageSource::State> state =
        source->Next([self = shared_from_this()] { self->Post(&GetReactor::Produce); }, &message);
    if (!state.ok()) {
      End(state.status());
      return Drop();
    }
    switch (*state) {
      case MessageSource::State::kMessage:
        output_.Send(std::move(message));
        break;
      case MessageSource::State::kLater:
        return;
      case MessageSource::State::kEnd:
        return End(absl::OkStatus());
    }
  }
}

// The client takes nothing, and so keeps the entry in memory.
void GetReactor::Stalled() {
  End(ErrorStatus(absl::StatusCode::kDeadlineExceeded, "IDLE", "nothing was read for the idle limit"));
  output_.CancelIfStuck();
}

// Lets go of what a get that has ended would still send.
void GetReactor::Drop() {
  EntryPtr entry;
  std::unique_ptr<MessageSource> source;
  MutexLock lock(mutex_);
  entry = std::move(entry_);
  source = std::move(source_);
}

void GetReactor::OnCancel() {
  if (!output_.ended()) End(ErrorStatus(absl::StatusCode::kCancelled, "CANCELLED", "the client went away"));
}

void GetReactor::End(const absl::Status& status) {
  int64_t sent_bytes = 0;
  if (status.ok()) {  // in the thread that works with the source
    MutexLock lock(mutex_);
    if (source_ != nullptr) sent_bytes = source_->sent_bytes();
    record_.SetBytes(sent_bytes);
  }
  if (!output_.End(status)) return;
  std::optional<EntryStore::WaitId> wait;
  std::optional<Timers::Id> wait_timer;
  EntryPtr entry;
  bool producing;
  {
    MutexLock lock(mutex_);
    wait_over_ = true;
    wait.swap(wait_);
    wait_timer.swap(wait_timer_);
    entry = entry_;
    producing = producing_;
    if (source_ != nullptr && !status.ok()) source_->Cancel();
  }
  if (status.ok() || !producing) Drop();
  if (wait) context_.store.CancelWait(*wait);
  if (wait_timer) context_.timers.Cancel(*wait_timer);
  if (status.code() == absl::StatusCode::kDataLoss && entry != nullptr) context_.store.ReportDamaged(entry);
  if (status.ok()) {
    const auto seconds = 1e-3 * static_cast<double>(context_.timers.NowMs() - begun_ms_);
    context_.load_rate.Record(sent_bytes, seconds);
    context_.metrics.CountSent(request_.target.Carrier(), sent_bytes);
  }
  if (status.ok()) return;
  // A client that does not take the message being written is cut off.
  context_.timers.Schedule(kStuckMs, [weak = weak_from_this()] {
    if (const auto reactor = weak.lock()) reactor->output_.CancelIfStuck();
  });
}

// What was made is let go first, then the lease: it has done its work however the get ended.
GetReactor::~GetReactor() {
  if (idle_ != nullptr) idle_->Stop();
  Drop();
  if (request_.lease_id) (void)context_.store.Unpin(tenant_, *request_.lease_id);
}

void GetReactor::OnDone() {
  if (deadline_) context_.timers.Cancel(*deadline_);
  const std::shared_ptr<GetReactor> last = std::move(self_);
}

}  // namespace chunkkv::rpc
