// Which trace a call is part of (W3C Trace Context, level 1).
#ifndef CHUNKKV_SERVICE_OPERATION_TRACE_CONTEXT_H_
#define CHUNKKV_SERVICE_OPERATION_TRACE_CONTEXT_H_

#include <optional>
#include <string>
#include <string_view>

namespace chunkkv {

inline constexpr char kTraceParentHeader[] = "traceparent";

struct TraceContext {
  std::string trace_id;   // 32 lower-case hexadecimal digits, not all 0
  std::string parent_id;  // 16 of them, of the caller's span
  bool sampled = false;
};

// Of a traceparent header; empty where it is none.
std::optional<TraceContext> ParseTraceParent(std::string_view header);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_OPERATION_TRACE_CONTEXT_H_
