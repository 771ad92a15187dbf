#ifndef CHUNKKV_KERNELS_REFERENCE_SELECT_H_
#define CHUNKKV_KERNELS_REFERENCE_SELECT_H_

#include "chunkkv/kernels/compactor.h"
#include "kernels/common/scratch.h"

namespace chunkkv::reference {

// Writes the kept positions and retained masses of one group: sorts all spans by (score descending, index ascending)
// and takes them whole until one does not fit. Scores are added up in float64, in index order. Returns false where the
// batch is cancelled.
bool SelectPositions(const Plan& plan, const SelectTask& task, Scratch scratch, const ExecutionContext& context);

size_t SelectScratchBytes(const Plan& plan, const SelectTask& task);

}  // namespace chunkkv::reference

#endif  // CHUNKKV_KERNELS_REFERENCE_SELECT_H_
