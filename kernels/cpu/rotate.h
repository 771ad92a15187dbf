#ifndef CHUNKKV_KERNELS_CPU_ROTATE_H_
#define CHUNKKV_KERNELS_CPU_ROTATE_H_

#include "chunkkv/kernels/compactor.h"

namespace chunkkv::cpu {

// Scratch of one call to RotateRows.
struct RotateScratch {
  double* cosines;  // [rotary_dims / 2]
  double* sines;    // [rotary_dims / 2]
  float* dims;      // [rotary_dims]
};

// Turns rows [begin, end) of the task. Neighbouring rows often moved by the same distance, as chunks move whole;
// angles are worked out (in float64) once for each run of them.
void RotateRows(const RotateTask& task, size_t begin, size_t end, const RotateScratch& scratch);

}  // namespace chunkkv::cpu

#endif  // CHUNKKV_KERNELS_CPU_ROTATE_H_
