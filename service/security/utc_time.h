// Instants as people write them.
#ifndef CHUNKKV_SERVICE_SECURITY_UTC_TIME_H_
#define CHUNKKV_SERVICE_SECURITY_UTC_TIME_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace chunkkv {

// Unix milliseconds of an RFC 3339 date and time in UTC, "2027-01-31T23:59:59Z"; empty for anything else.
std::optional<int64_t> UnixMsOfUtc(std::string_view text);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SECURITY_UTC_TIME_H_
