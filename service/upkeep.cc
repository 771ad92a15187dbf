#include "service/upkeep.h"

namespace chunkkv {

void Upkeep::ScheduleNext() {
  timers_.Schedule(kPeriodMs, [this] {
    if (stopped_) return;
    executor_.Post([this] {
      for (const auto& task : tasks_) task();
      if (!stopped_) ScheduleNext();
    });
  });
}

}  // namespace chunkkv
