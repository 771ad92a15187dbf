#include "service/operation/log.h"

#include <unistd.h>

#include <atomic>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "service/base/clock.h"
#include "service/format/bytes.h"
#include "service/format/sha256.h"
#include "service/format/text.h"

namespace chunkkv {
namespace {

std::atomic<LogLevel> least_level{LogLevel::kInfo};

const char* NameOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      break;
  }
  return "error";
}

std::string Utc(int64_t unix_ms) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromUnixMillis(unix_ms), absl::UTCTimeZone());
}

// Bytes that are no UTF-8 would make the line unreadable.
std::string JsonOf(std::string_view text) { return IsUtf8(text) ? JsonString(text) : JsonString("(not UTF-8)"); }

}  // namespace

void SetLogLevel(LogLevel level) { least_level = level; }
bool IsLogged(LogLevel level) { return level >= least_level; }

std::string LogLine(int64_t unix_ms, LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  std::string line = absl::StrCat("{\"time\":\"", Utc(unix_ms), "\",\"level\":\"", NameOf(level),
                                  "\",\"message\":", JsonOf(message));
  for (const LogField& field : fields) {
    if (const auto* text = std::get_if<std::string>(&field.value)) {
      if (!text->empty()) absl::StrAppend(&line, ",\"", field.key.name, "\":", JsonOf(*text));
    } else if (const auto* number = std::get_if<int64_t>(&field.value)) {
      absl::StrAppend(&line, ",\"", field.key.name, "\":", *number);
    } else {
      const double value = std::get<double>(field.value);
      absl::StrAppend(&line, ",\"", field.key.name, "\":", std::isfinite(value) ? absl::StrCat(value) : "null");
    }
  }
  return line + "}";
}

void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  if (!IsLogged(level)) return;
  const std::string line = LogLine(Clock::System().UnixMs(), level, message, fields) + "\n";
  // One write a line: what a pipe takes at once it does not mix.
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

std::string TenantDigest(std::string_view tenant) { return ToHex(Sha256Of(tenant)).substr(0, 12); }

}  // namespace chunkkv
