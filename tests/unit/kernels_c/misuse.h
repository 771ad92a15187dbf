/* Wrong arguments end in a code with a reason. */
#ifndef CHUNKKV_TESTS_UNIT_KERNELS_C_MISUSE_H_
#define CHUNKKV_TESTS_UNIT_KERNELS_C_MISUSE_H_

#include "request.h"

void check_plan_misuse(const request* right);
void check_device_misuse(void);
void check_misuse(const chunkkv_device* device, chunkkv_context* context, const chunkkv_plan* plan,
                  const request* right);

#endif /* CHUNKKV_TESTS_UNIT_KERNELS_C_MISUSE_H_ */
