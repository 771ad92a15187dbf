#include "service/rpc/event_stream.h"

#include <utility>

#include "chunkkv/kernels/status.h"

namespace chunkkv::rpc {

EventStream* EventStream::Start(std::shared_ptr<EventStream> stream, const grpc::ByteBuffer* request) {
  stream->self_ = stream;
  stream->Admit(request);
  return stream.get();
}

EventStream::EventStream(RpcContext& context, grpc::CallbackServerContext* call_context, const char* rpc,
                         StreamKind kind)
    : context_(context),
      call_context_(call_context),
      kind_(kind),
      record_(context, *call_context, rpc),
      output_({.write = [this](const grpc::ByteBuffer* message) { StartWrite(message); },
               .finish = [this](const absl::Status& status) { Finish(record_.Finish(status)); },
               .cancel = [this] { call_context_->TryCancel(); }}) {}

void EventStream::Admit(const grpc::ByteBuffer* request) {
  absl::StatusOr<std::string> tenant = record_.Admit();
  if (!tenant.ok()) return End(tenant.status());
  tenant_ = *std::move(tenant);
  absl::StatusOr<StreamSlot> slot = record_.TakeSlot(kind_);
  if (!slot.ok()) return End(slot.status());
  slot_ = *std::move(slot);
  deadline_ = context_.timers.Schedule(context_.limits.max_rpc_ms, [weak = weak_from_this()] {
    if (const auto stream = weak.lock()) {
      stream->End(ErrorStatus(absl::StatusCode::kDeadlineExceeded, "RPC_TOO_LONG", "the server's limit for one RPC"));
    }
  });
  request_buffer_ = *request;
  line_ = TaskQueue::LineOf(tenant_);
  context_.request_executor.Post([self = shared_from_this()] { self->BeginNow(); }, line_);
}

void EventStream::BeginNow() {
  if (const absl::Status status = Begin(request_buffer_); !status.ok()) return End(status);
  request_buffer_.Clear();
  if (kind_ != StreamKind::kHold) {
    stop_ = context_.streams.AddStop([weak = weak_from_this()] {
      if (const auto stream = weak.lock()) stream->End(StreamSlots::Draining());
    });
  }
  {
    MutexLock lock(mutex_);
    has_begun_ = true;
  }
  Advance();
}

std::function<void()> EventStream::Wake() {
  // Never the last owner within a caller's thread: what a stream holds may be released on the executor only.
  return [weak = weak_from_this(), &executor = context_.request_executor, line = line_] {
    const auto advance = [weak] {
      if (const auto stream = weak.lock()) stream->Advance();
    };
    executor.Post(advance, line);
  };
}

bool EventStream::HasRoom(size_t messages_ahead) const {
  return !output_.ended() && output_.pending() < messages_ahead;
}

void EventStream::Advance() {
  {
    MutexLock lock(mutex_);
    if (!has_begun_) return;
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

void EventStream::OnWriteDone(bool ok) {
  output_.OnWriteDone(ok);
  if (ok && !output_.ended()) {
    context_.request_executor.Post([self = shared_from_this()] { self->Advance(); }, line_);
  }
}

void EventStream::OnCancel() { End(ErrorStatus(absl::StatusCode::kCancelled, "CANCELLED", "the client went away")); }

void EventStream::End(const absl::Status& status) {
  if (!output_.End(status)) return;
  // Where all is said, the client may still have messages to take.
  const int64_t patience_ms = status.ok() ? context_.limits.idle_timeout_ms : kStuckMs;
  context_.timers.Schedule(patience_ms, [weak = weak_from_this()] {
    if (const auto stream = weak.lock()) stream->output_.CancelIfStuck();
  });
}

EventStream::~EventStream() {
  if (stop_ != 0) context_.streams.RemoveStop(stop_);
}

void EventStream::OnDone() {
  if (deadline_) context_.timers.Cancel(*deadline_);
  const std::shared_ptr<EventStream> last = std::move(self_);
}

}  // namespace chunkkv::rpc
