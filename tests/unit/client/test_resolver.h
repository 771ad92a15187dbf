// A resolver and a clock that a test moves.
#ifndef CHUNKKV_TESTS_UNIT_CLIENT_TEST_RESOLVER_H_
#define CHUNKKV_TESTS_UNIT_CLIENT_TEST_RESOLVER_H_

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "chunkkv/client/routed_client.h"
#include "service/base/mutex.h"

namespace chunkkv::client {

// Thread-safe. Must outlive its clients' threads.
class TestResolver {
 public:
  ~TestResolver() {
    MutexLock lock(mutex_);
    is_hanging_ = false;
    changed_.NotifyAll();
    while (inside_ > 0) changed_.Wait(mutex_);
  }

  RoutedOptions Options() {
    RoutedOptions options;
    options.now = [this] {
      MutexLock lock(mutex_);
      return now_;
    };
    options.random = [] { return 0.0; };
    options.resolve = [this](const std::string&) { return Resolve(); };
    return options;
  }

  void Advance(std::chrono::milliseconds step) {
    MutexLock lock(mutex_);
    now_ += step;
  }
  void Set(absl::StatusOr<std::vector<std::string>> answer) {
    MutexLock lock(mutex_);
    answer_ = std::move(answer);
  }
  // From now on, or no longer.
  void Hang(bool hang) {
    MutexLock lock(mutex_);
    is_hanging_ = hang;
    changed_.NotifyAll();
  }
  void AwaitHanging() {
    MutexLock lock(mutex_);
    while (!is_hanging_ || inside_ == 0) changed_.Wait(mutex_);
  }
  bool IsInside() {
    MutexLock lock(mutex_);
    return inside_ > 0;
  }
  void AwaitResolutions(int count) {
    MutexLock lock(mutex_);
    while (resolutions_ < count) changed_.Wait(mutex_);
  }
  int resolutions() {
    MutexLock lock(mutex_);
    return resolutions_;
  }

 private:
  absl::StatusOr<std::vector<std::string>> Resolve() {
    MutexLock lock(mutex_);
    ++inside_;
    changed_.NotifyAll();
    while (is_hanging_) changed_.Wait(mutex_);
    --inside_;
    ++resolutions_;
    changed_.NotifyAll();
    return answer_;
  }

  Mutex mutex_;
  CondVar changed_;
  std::chrono::steady_clock::time_point now_ ABSL_GUARDED_BY(mutex_){std::chrono::hours(1)};
  absl::StatusOr<std::vector<std::string>> answer_ ABSL_GUARDED_BY(mutex_) = std::vector<std::string>();
  bool is_hanging_ ABSL_GUARDED_BY(mutex_) = false;
  int inside_ ABSL_GUARDED_BY(mutex_) = 0;
  int resolutions_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace chunkkv::client

#endif  // CHUNKKV_TESTS_UNIT_CLIENT_TEST_RESOLVER_H_
