#include "service/security/rate_limiter.h"

#include <algorithm>

#include "chunkkv/kernels/status.h"

namespace chunkkv {

absl::Status RateLimiter::Admit(const std::string& tenant, int64_t per_second) {
  const int64_t now_ms = clock_.MonotonicMs();
  const auto rate = static_cast<double>(per_second);
  MutexLock lock(mutex_);
  const auto [found, is_new] = buckets_.try_emplace(tenant, Bucket{rate, now_ms});
  Bucket& bucket = found->second;
  bucket.tokens = std::min(rate, bucket.tokens + rate * static_cast<double>(now_ms - bucket.filled_ms) / 1000);
  bucket.filled_ms = now_ms;
  if (bucket.tokens < 1) {
    return ErrorStatus(absl::StatusCode::kResourceExhausted, "RATE_LIMITED",
                       "the tenant may make " + std::to_string(per_second) + " requests a second");
  }
  bucket.tokens -= 1;
  return absl::OkStatus();
}

}  // namespace chunkkv
