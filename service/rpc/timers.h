// Calls at a later time, by a clock that tests may fake.
#ifndef CHUNKKV_SERVICE_RPC_TIMERS_H_
#define CHUNKKV_SERVICE_RPC_TIMERS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <thread>
#include <utility>

#include "service/base/clock.h"
#include "service/base/mutex.h"

namespace chunkkv::rpc {

// One thread. Thread-safe. With Clock::System() it sleeps until something is due; any other clock is looked at every
// few milliseconds of real time, so that a test need not tell anybody that it moved its clock.
class Timers {
 public:
  using Id = std::pair<int64_t, uint64_t>;  // (due by the monotonic clock, order)

  explicit Timers(const Clock& clock);
  // Drops what is not due.
  ~Timers();

  // `call` runs on the timer's thread and must be short.
  Id Schedule(int64_t delay_ms, std::function<void()> call);
  // False where the call has run, or is running.
  bool Cancel(const Id& id);
  int64_t NowMs() const { return clock_.MonotonicMs(); }

 private:
  void Run();

  const Clock& clock_;
  const bool is_system_clock_;
  Mutex mutex_;
  CondVar changed_;
  std::map<Id, std::function<void()>> calls_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_order_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_TIMERS_H_
