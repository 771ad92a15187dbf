/* Checks that name what failed, and end the program. */
#ifndef CHUNKKV_TESTS_UNIT_KERNELS_C_CHECK_H_
#define CHUNKKV_TESTS_UNIT_KERNELS_C_CHECK_H_

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chunkkv/kernels.h"

#define CHECK(condition)                                                                                       \
  do {                                                                                                         \
    if (!(condition)) {                                                                                        \
      fprintf(stderr, "%s:%d: %s; last error %s: %s\n", __FILE__, __LINE__, #condition, chunkkv_last_reason(), \
              chunkkv_last_message());                                                                         \
      exit(1);                                                                                                 \
    }                                                                                                          \
  } while (0)

#define CHECK_FAILS(call, code, reason)                                                                \
  do {                                                                                                 \
    const chunkkv_code got = (call);                                                                   \
    if (got != (code) || strcmp(chunkkv_last_reason(), (reason)) != 0) {                               \
      fprintf(stderr, "%s:%d: %s gave %d %s: %s; wanted %d %s\n", __FILE__, __LINE__, #call, (int)got, \
              chunkkv_last_reason(), chunkkv_last_message(), (int)(code), (reason));                   \
      exit(1);                                                                                         \
    }                                                                                                  \
  } while (0)

#endif /* CHUNKKV_TESTS_UNIT_KERNELS_C_CHECK_H_ */
