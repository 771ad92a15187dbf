// What log lines say beside time, level and message. A field says nothing of tokens, keys or tensors.
#ifndef CHUNKKV_SERVICE_OPERATION_LOG_FIELDS_H_
#define CHUNKKV_SERVICE_OPERATION_LOG_FIELDS_H_

#include <array>

namespace chunkkv {

struct LogKey {
  const char* name;
  const char* meaning;
};

namespace log_key {

inline constexpr LogKey kAddress{"address", "host and port that the server listens on"};
inline constexpr LogKey kBytes{"bytes", "of tensors that the call moved"};
inline constexpr LogKey kCode{"code", "the gRPC status, by name"};
inline constexpr LogKey kDurationMs{"duration_ms", "from the call's admission to its end"};
inline constexpr LogKey kError{"error", "what went wrong, in words of the server's own"};
inline constexpr LogKey kOption{"option", "an option by its flag, or its variable"};
inline constexpr LogKey kReason{"reason", "why the call failed: the trailer chunkkv-reason"};
inline constexpr LogKey kRpc{"rpc", "the method of chunkkv.v1.KvCacheService"};
inline constexpr LogKey kTenant{"tenant", "SHA-256 of the tenant's or group's name, its first 12 hexadecimal digits"};
inline constexpr LogKey kTraceId{"trace_id", "W3C trace id of the caller, where it sent a traceparent"};
inline constexpr LogKey kVersion{"version", "of the server"};

}  // namespace log_key

inline constexpr std::array kLogKeys = {
    log_key::kAddress, log_key::kBytes,  log_key::kCode, log_key::kDurationMs, log_key::kError,   log_key::kOption,
    log_key::kReason,  log_key::kRpc,    log_key::kTenant, log_key::kTraceId,  log_key::kVersion};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_OPERATION_LOG_FIELDS_H_
