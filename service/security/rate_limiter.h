// How many requests a tenant makes.
#ifndef CHUNKKV_SERVICE_SECURITY_RATE_LIMITER_H_
#define CHUNKKV_SERVICE_SECURITY_RATE_LIMITER_H_

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "service/base/clock.h"
#include "service/base/mutex.h"

namespace chunkkv {

// A bucket of tokens for each tenant, which holds what a second brings. Thread-safe.
class RateLimiter {
 public:
  explicit RateLimiter(const Clock& clock) : clock_(clock) {}

  // One request of `tenant`, of at most `per_second`. Errors: RESOURCE_EXHAUSTED (RATE_LIMITED).
  absl::Status Admit(const std::string& tenant, int64_t per_second);

 private:
  struct Bucket {
    double tokens = 0;
    int64_t filled_ms = 0;
  };

  const Clock& clock_;
  Mutex mutex_;
  absl::flat_hash_map<std::string, Bucket> buckets_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SECURITY_RATE_LIMITER_H_
