#ifndef CHUNKKV_KERNELS_CUDA_CUDA_COMPACTOR_H_
#define CHUNKKV_KERNELS_CUDA_CUDA_COMPACTOR_H_

#include <memory>

#include "chunkkv/kernels/compactor.h"
#include "kernels/cuda/launcher.h"

namespace chunkkv::cuda {

// A Compactor named "cuda" whose kernels run where `launcher` runs them.
std::unique_ptr<Compactor> MakeCompactor(std::unique_ptr<Launcher> launcher);

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_CUDA_COMPACTOR_H_
