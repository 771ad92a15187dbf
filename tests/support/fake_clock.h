// A clock that stands still until a test moves it.
#ifndef CHUNKKV_TESTS_SUPPORT_FAKE_CLOCK_H_
#define CHUNKKV_TESTS_SUPPORT_FAKE_CLOCK_H_

#include <atomic>
#include <cstdint>

#include "service/base/clock.h"

namespace chunkkv {

// Thread-safe.
class FakeClock : public Clock {
 public:
  int64_t MonotonicMs() const override { return monotonic_ms_; }
  int64_t UnixMs() const override { return unix_ms_; }

  void AdvanceMs(int64_t duration_ms) {
    monotonic_ms_ += duration_ms;
    unix_ms_ += duration_ms;
  }
  // Somebody sets the wall clock; time itself does not pass.
  void JumpWallClockMs(int64_t by_ms) { unix_ms_ += by_ms; }

 private:
  std::atomic<int64_t> monotonic_ms_{5'000};
  std::atomic<int64_t> unix_ms_{1'700'000'000'000};
};

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_SUPPORT_FAKE_CLOCK_H_
