#ifndef CHUNKKV_KERNELS_CPU_SELECT_H_
#define CHUNKKV_KERNELS_CPU_SELECT_H_

#include "chunkkv/kernels/compactor.h"
#include "kernels/common/scratch.h"

namespace chunkkv::cpu {

// Writes the kept positions and retained masses of one group. Finds the span at which the room is used up by repeated
// halving, in expected linear time, then keeps all spans that come before it in (score descending, index ascending).
// Returns false where the batch is cancelled, which is looked at for each block of tokens and at each halving.
bool SelectPositions(const Plan& plan, const SelectTask& task, Scratch scratch, const ExecutionContext& context);

size_t SelectScratchBytes(const Plan& plan, const SelectTask& task);

}  // namespace chunkkv::cpu

#endif  // CHUNKKV_KERNELS_CPU_SELECT_H_
