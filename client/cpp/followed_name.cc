#include "client/cpp/followed_name.h"

#include <arpa/inet.h>
#include <netdb.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "client/cpp/call.h"
#include "service/base/mutex.h"

namespace chunkkv::client {
namespace {

constexpr auto kClosePatience = std::chrono::milliseconds(500);
constexpr std::chrono::nanoseconds kLongestSleep = std::chrono::hours(1);

}  // namespace

class FollowedName::State {
 public:
  State(std::string name, const RoutedOptions& options)
      : name_(std::move(name)),
        resolve_(options.resolve ? options.resolve : ResolveWithSystem),
        now_(options.now),
        resolve_every_(options.resolve_every),
        pass_over_(options.pass_over) {}

  void Follow() {
    while (Begin()) End(resolve_(name_));
    MutexLock lock(mutex_);
    has_left_ = true;
    changed_.NotifyAll();
  }

  // Whether the thread has left, or does so within a moment. Of what the caller gave, nothing but the resolver at work
  // is used from then on.
  bool Close() {
    MutexLock lock(mutex_);
    is_closed_ = true;
    changed_.NotifyAll();
    const Time until = std::chrono::steady_clock::now() + kClosePatience;
    while (!has_left_ && std::chrono::steady_clock::now() < until) changed_.WaitFor(mutex_, kClosePatience);
    return has_left_;
  }

  Addresses addresses() const {
    MutexLock lock(mutex_);
    return addresses_;
  }

  std::string failure() const {
    MutexLock lock(mutex_);
    return addresses_->empty() ? absl::StrCat(name_, ": ", failure_.message()) : "";
  }

  void Refresh() {
    MutexLock lock(mutex_);
    if (!is_asking_ && IsDue()) changed_.NotifyAll();
  }

  void Doubt() {
    MutexLock lock(mutex_);
    is_doubted_ = true;
    changed_.NotifyAll();
  }

  void Await(bool is_first, Time until, const std::optional<Cancellation>& cancellation) {
    bool is_cancelled = false;
    const CancellationGuard guard(cancellation, [this, &is_cancelled] {
      MutexLock lock(mutex_);
      is_cancelled = true;
      changed_.NotifyAll();
    });
    MutexLock lock(mutex_);
    if (is_first ? ended_at_.has_value() : !is_asking_ && !IsDue()) return;
    const int64_t answer = answers_;
    while (answers_ == answer && !is_cancelled) {
      const std::chrono::nanoseconds left = until - std::chrono::steady_clock::now();
      if (left.count() <= 0) return;
      changed_.WaitFor(mutex_, std::min(left, kLongestSleep));
    }
  }

 private:
  Time DueAt() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!ended_at_) return Time::min();
    return *ended_at_ + (failure_.ok() && !is_doubted_ ? resolve_every_ : pass_over_);
  }
  bool IsDue() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return now_() >= DueAt(); }

  // Returns once a resolution is due. False: closed.
  bool Begin() {
    MutexLock lock(mutex_);
    while (!is_closed_ && !IsDue()) {
      changed_.WaitFor(mutex_, std::min<std::chrono::nanoseconds>(DueAt() - now_(), kLongestSleep));
    }
    is_asking_ = true;
    is_doubted_ = false;
    return !is_closed_;
  }

  void End(absl::StatusOr<std::vector<std::string>> found) {
    MutexLock lock(mutex_);
    if (is_closed_) return;
    failure_ = found.status();
    if (found.ok() && found->empty()) failure_ = absl::UnavailableError("has no addresses");
    if (failure_.ok()) addresses_ = std::make_shared<const std::vector<std::string>>(*std::move(found));
    is_asking_ = false;
    ended_at_ = now_();
    ++answers_;
    changed_.NotifyAll();
  }

  const std::string name_;
  const decltype(RoutedOptions::resolve) resolve_;
  const decltype(RoutedOptions::now) now_;
  const std::chrono::milliseconds resolve_every_;
  const std::chrono::milliseconds pass_over_;

  mutable Mutex mutex_;
  CondVar changed_;
  Addresses addresses_ ABSL_GUARDED_BY(mutex_) = std::make_shared<const std::vector<std::string>>();
  absl::Status failure_ ABSL_GUARDED_BY(mutex_) = absl::UnavailableError("is being resolved");  // of the last one
  std::optional<Time> ended_at_ ABSL_GUARDED_BY(mutex_);  // the last resolution
  int64_t answers_ ABSL_GUARDED_BY(mutex_) = 0;
  bool is_asking_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_doubted_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool has_left_ ABSL_GUARDED_BY(mutex_) = false;
};

FollowedName::FollowedName(std::string name, const RoutedOptions& options)
    : state_(std::make_shared<State>(std::move(name), options)), thread_([state = state_] { state->Follow(); }) {}

FollowedName::~FollowedName() {
  if (state_->Close()) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

FollowedName::Addresses FollowedName::addresses() const { return state_->addresses(); }
std::string FollowedName::failure() const { return state_->failure(); }
void FollowedName::Refresh() { state_->Refresh(); }
void FollowedName::Doubt() { state_->Doubt(); }

void FollowedName::AwaitFirst(Time until, const std::optional<Cancellation>& cancellation) const {
  state_->Await(/*is_first=*/true, until, cancellation);
}

void FollowedName::AwaitNext(Time until, const std::optional<Cancellation>& cancellation) const {
  state_->Await(/*is_first=*/false, until, cancellation);
}

absl::StatusOr<std::vector<std::string>> ResolveWithSystem(const std::string& name) {
  const size_t colon = name.rfind(':');
  const std::string host = name.substr(0, colon), port = name.substr(colon + 1);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
    return ErrorStatus(absl::StatusCode::kUnavailable, "NAME_NOT_RESOLVED", host + ": " + gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(found, freeaddrinfo);
  std::vector<std::string> addresses;
  for (const addrinfo* item = found; item != nullptr; item = item->ai_next) {
    char text[NI_MAXHOST];
    if (getnameinfo(item->ai_addr, item->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) != 0) continue;
    const bool is_ipv6 = item->ai_family == AF_INET6;
    addresses.push_back(absl::StrCat(is_ipv6 ? "[" : "", text, is_ipv6 ? "]:" : ":", port));
  }
  return addresses;
}

}  // namespace chunkkv::client
