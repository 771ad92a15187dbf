#include "client/cpp/call.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <string>

#include "absl/strings/cord.h"
#include "chunkkv/kernels/status.h"
#include "service/base/mutex.h"

namespace chunkkv::client {
namespace {

constexpr char kReasonTrailer[] = "chunkkv-reason";
constexpr char kRetryTrailer[] = "chunkkv-retry-ms";
constexpr char kRetryPayload[] = "chunkkv.dev/retry-ms";
constexpr int64_t kMaxTimeoutMs = int64_t{366} * 24 * 3'600'000;

std::string Trailer(const grpc::ClientContext& context, const char* name) {
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto found = trailers.find(name);
  return found == trailers.end() ? "" : std::string(found->second.data(), found->second.size());
}

}  // namespace

struct Cancellation::State {
  Mutex mutex;
  bool is_cancelled ABSL_GUARDED_BY(mutex) = false;
  uint64_t next_id ABSL_GUARDED_BY(mutex) = 1;
  std::map<uint64_t, std::function<void()>> listeners ABSL_GUARDED_BY(mutex);
};

Cancellation::Cancellation() : state_(std::make_shared<State>()) {}

void Cancellation::Cancel() {
  MutexLock lock(state_->mutex);
  state_->is_cancelled = true;
  for (const auto& [id, listener] : state_->listeners) listener();
}

bool Cancellation::IsCancelled() const {
  MutexLock lock(state_->mutex);
  return state_->is_cancelled;
}

CancellationGuard::CancellationGuard(const std::optional<Cancellation>& cancellation, std::function<void()> on_cancel) {
  if (!cancellation) return;
  state_ = cancellation->state_;
  MutexLock lock(state_->mutex);
  if (state_->is_cancelled) on_cancel();
  id_ = state_->next_id++;
  state_->listeners[id_] = std::move(on_cancel);
}

CancellationGuard::~CancellationGuard() {
  if (state_ == nullptr) return;
  MutexLock lock(state_->mutex);
  state_->listeners.erase(id_);
}

CallContext::CallContext(const CallMetadata& metadata, const CallOptions& options)
    : guard_(options.cancellation, [this] { context_.TryCancel(); }) {
  for (const auto& [name, value] : metadata) context_.AddMetadata(name, value);
  if (options.timeout.count() > 0) {
    const std::chrono::milliseconds timeout(std::min<int64_t>(options.timeout.count(), kMaxTimeoutMs));
    context_.set_deadline(std::chrono::system_clock::now() + timeout);
  }
}

absl::Status CallContext::Convert(const grpc::Status& status) const {
  if (status.ok()) return absl::OkStatus();
  absl::Status converted = ErrorStatus(static_cast<absl::StatusCode>(status.error_code()),
                                       Trailer(context_, kReasonTrailer), status.error_message());
  if (const std::string retry = Trailer(context_, kRetryTrailer); !retry.empty()) {
    converted.SetPayload(kRetryPayload, absl::Cord(retry));
  }
  return converted;
}

std::optional<std::chrono::milliseconds> RetryAfter(const absl::Status& status) {
  const auto payload = status.GetPayload(kRetryPayload);
  if (!payload) return std::nullopt;
  const std::string text(*payload);
  int64_t milliseconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), milliseconds);
  if (error != std::errc() || end != text.data() + text.size() || milliseconds < 0) return std::nullopt;
  return std::chrono::milliseconds(milliseconds);
}

}  // namespace chunkkv::client
