// Time, as a dependency: a fake one makes leases, deadlines and limits testable without sleeping.
#ifndef CHUNKKV_SERVICE_BASE_CLOCK_H_
#define CHUNKKV_SERVICE_BASE_CLOCK_H_

#include <cstdint>

namespace chunkkv {

class Clock {
 public:
  virtual ~Clock() = default;
  // Monotonic, for durations, leases and deadlines: jumps of the wall clock do not touch it.
  virtual int64_t MonotonicMs() const = 0;
  // Milliseconds since the Unix epoch, for what is shown and recorded.
  virtual int64_t UnixMs() const = 0;

  static const Clock& System();
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_BASE_CLOCK_H_
