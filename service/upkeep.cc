#include "service/upkeep.h"

namespace chunkkv {
namespace {

constexpr int64_t kPeriodMs = 1000;

}  // namespace

void Upkeep::ScheduleNext() {
  timers_.Schedule(kPeriodMs, [this] {
    if (stopped_) return;
    executor_.Post([this] {
      store_.ExpireNow();
      sessions_.EndStalled();
      mappings_.Expire();
      if (scrub_bytes_per_second_ > 0) store_.Scrub(scrub_bytes_per_second_ * kPeriodMs / 1000);
      if (!stopped_) ScheduleNext();
    });
  });
}

}  // namespace chunkkv
