// Aborts where an invariant of the program itself is broken. Never for input, disk, network or memory budgets: those
// give a Status.
#ifndef CHUNKKV_SERVICE_BASE_CHECK_H_
#define CHUNKKV_SERVICE_BASE_CHECK_H_

#include <cstdio>
#include <cstdlib>

#define CHUNKKV_CHECK(condition)                                                             \
  do {                                                                                       \
    if (!(condition)) [[unlikely]] {                                                         \
      std::fprintf(stderr, "%s:%d: broken invariant: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                          \
    }                                                                                        \
  } while (false)

#endif  // CHUNKKV_SERVICE_BASE_CHECK_H_
