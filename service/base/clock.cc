#include "service/base/clock.h"

#include <chrono>

namespace chunkkv {
namespace {

class SystemClock : public Clock {
 public:
  int64_t MonotonicMs() const override { return Milliseconds(std::chrono::steady_clock::now().time_since_epoch()); }
  int64_t UnixMs() const override { return Milliseconds(std::chrono::system_clock::now().time_since_epoch()); }

 private:
  template <typename Duration>
  static int64_t Milliseconds(Duration duration) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  }
};

}  // namespace

const Clock& Clock::System() {
  static const SystemClock* const clock = new SystemClock;
  return *clock;
}

}  // namespace chunkkv
