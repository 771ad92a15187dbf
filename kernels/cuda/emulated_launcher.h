// Kernels on the host, by simt's emulation: host memory stands for the device's, a launch is done when it returns.
#ifndef CHUNKKV_KERNELS_CUDA_EMULATED_LAUNCHER_H_
#define CHUNKKV_KERNELS_CUDA_EMULATED_LAUNCHER_H_

#include <memory>

#include "kernels/cuda/launcher.h"
#include "kernels/simt/emulation/traffic.h"

namespace chunkkv::cuda {

// `seed` decides the order of threads. `traffic`, where set, counts what all launches access, and must outlive the
// launcher; such a launcher is not thread-safe.
std::unique_ptr<Launcher> MakeEmulatedLauncher(uint64_t seed = 1, simt::emulation::Traffic* traffic = nullptr);

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_EMULATED_LAUNCHER_H_
