// Compaction on CUDA devices, sm_80 and later. Without CUDA headers, and only in builds with CHUNKKV_HAS_CUDA.
#ifndef CHUNKKV_KERNELS_CUDA_H_
#define CHUNKKV_KERNELS_CUDA_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "chunkkv/kernels/compactor.h"
#include "chunkkv/kernels/device_memory.h"

namespace chunkkv {

// How many CUDA devices this process sees; 0 where there is no driver.
int CudaDeviceCount();

// The product name of a device that exists: "NVIDIA H100 80GB HBM3".
std::string CudaDeviceName(int device);

// Compaction where the KV is: every address in a batch is memory of `device`, or pinned. Enqueue starts a handful of
// kernels on context.stream and waits for nothing; context.failure is needed. Deterministic.
// Refuses by name, beside what any implementation refuses: SCORING_HEAD_SIZE (heads above 2,048), MISALIGNED (what
// is read or written by elements and not aligned to them; rows to gather or scatter and bytes to digest may lie
// anywhere), DEVICE_MEMORY (a view that the device does not reach). Heads of up to 256 dimensions in f16 or bf16, of a multiple of 8, at addresses and strides of 16 bytes, are
// scored on tensor cores, all others element by element.
// Errors: UNAVAILABLE NO_CUDA_DEVICE.
absl::StatusOr<std::unique_ptr<Compactor>> MakeCudaCompactor(int device);

// Errors: UNAVAILABLE NO_CUDA_DEVICE.
absl::StatusOr<std::unique_ptr<DeviceMemory>> MakeCudaMemory(int device);

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_CUDA_H_
