// Early return of failures.
#ifndef CHUNKKV_SERVICE_BASE_STATUS_MACROS_H_
#define CHUNKKV_SERVICE_BASE_STATUS_MACROS_H_

#include <utility>

#define CHUNKKV_RETURN_IF_ERROR(expression)                                              \
  do {                                                                                   \
    if (auto chunkkv_status = (expression); !chunkkv_status.ok()) return chunkkv_status; \
  } while (false)

#define CHUNKKV_CONCAT_INNER(a, b) a##b
#define CHUNKKV_CONCAT(a, b) CHUNKKV_CONCAT_INNER(a, b)

// CHUNKKV_ASSIGN_OR_RETURN(auto value, MakeValue());
#define CHUNKKV_ASSIGN_OR_RETURN(target, expression) \
  CHUNKKV_ASSIGN_OR_RETURN_IMPL(CHUNKKV_CONCAT(chunkkv_or_, __LINE__), target, expression)
#define CHUNKKV_ASSIGN_OR_RETURN_IMPL(temporary, target, expression) \
  auto temporary = (expression);                                     \
  if (!temporary.ok()) return std::move(temporary).status();         \
  target = std::move(temporary).value()

#endif  // CHUNKKV_SERVICE_BASE_STATUS_MACROS_H_
