// What a server does by itself, once a second.
#ifndef CHUNKKV_SERVICE_UPKEEP_H_
#define CHUNKKV_SERVICE_UPKEEP_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "service/base/executor.h"
#include "service/rpc/timers.h"

namespace chunkkv {

// The tasks run on the executor, one after the other, never twice at a time. The executor and the timers must have ended
// before this does.
class Upkeep {
 public:
  static constexpr int64_t kPeriodMs = 1000;

  Upkeep(std::vector<std::function<void()>> tasks, Executor& executor, rpc::Timers& timers)
      : tasks_(std::move(tasks)), executor_(executor), timers_(timers) {}
  void Start() { ScheduleNext(); }
  void Stop() { stopped_ = true; }

 private:
  void ScheduleNext();

  const std::vector<std::function<void()>> tasks_;
  Executor& executor_;
  rpc::Timers& timers_;
  std::atomic<bool> stopped_{false};
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_UPKEEP_H_
