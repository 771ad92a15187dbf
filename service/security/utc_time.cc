#include "service/security/utc_time.h"

#include <string>

#include "absl/time/time.h"

namespace chunkkv {

std::optional<int64_t> UnixMsOfUtc(std::string_view text) {
  absl::Time time;
  std::string error;
  if (!absl::ParseTime("%Y-%m-%dT%H:%M:%SZ", {text.data(), text.size()}, absl::UTCTimeZone(), &time, &error)) {
    return std::nullopt;
  }
  return absl::ToUnixMillis(time);
}

}  // namespace chunkkv
