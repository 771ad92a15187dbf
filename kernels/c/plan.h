// A plan as the C interface hands it out.
#ifndef CHUNKKV_KERNELS_C_PLAN_H_
#define CHUNKKV_KERNELS_C_PLAN_H_

#include "chunkkv/kernels.h"
#include "chunkkv/kernels/plan.h"

struct chunkkv_plan {
  chunkkv::Plan plan;
};

#endif  // CHUNKKV_KERNELS_C_PLAN_H_
