// The server's log: a JSON object a line on standard error.
//   {"time":"2026-11-26T18:00:00.123Z","level":"info","message":"listening","address":"127.0.0.1:7421"}
#ifndef CHUNKKV_SERVICE_OPERATION_LOG_H_
#define CHUNKKV_SERVICE_OPERATION_LOG_H_

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

#include "service/operation/log_fields.h"

namespace chunkkv {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };

struct LogField {
  const LogKey& key;
  std::variant<int64_t, double, std::string> value;
};

// Lines below `level` are dropped; kInfo until the first call.
void SetLogLevel(LogLevel level);
bool IsLogged(LogLevel level);

// A line, whole whatever other threads write. Fields that hold an empty text are left out.
void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});

// The line without its end.
std::string LogLine(int64_t unix_ms, LogLevel level, std::string_view message, std::initializer_list<LogField> fields);

// As kTenant is written.
std::string TenantDigest(std::string_view tenant);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_OPERATION_LOG_H_
