// Where a program compacts tensors that lie in its own memory.
#ifndef CHUNKKV_KERNELS_COMPACTION_DEVICE_H_
#define CHUNKKV_KERNELS_COMPACTION_DEVICE_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "chunkkv/kernels/compactor.h"
#include "chunkkv/kernels/device_memory.h"
#include "chunkkv/kernels/device_stream.h"

namespace chunkkv {

struct CompactionDevice {
  std::string kind = "cpu";  // "cpu", "cuda"
  std::string name = "cpu";  // the GPU's own
  int ordinal = 0;
  std::unique_ptr<Compactor> compactor;
};

// `choice`: "cpu"; "cuda:N", or "cuda" for the first: the host with that GPU's help (staging.h); "auto": the first GPU
// where the build has CUDA and the machine such a device, else the CPU.
// Errors: INVALID_ARGUMENT BAD_DEVICE; UNIMPLEMENTED NO_CUDA in a build without CUDA; UNAVAILABLE NO_CUDA_DEVICE.
absl::StatusOr<CompactionDevice> OpenCompactionDevice(std::string_view choice);

// The memory of that GPU. Errors: FAILED_PRECONDITION NO_DEVICE_MEMORY where it is none; UNAVAILABLE NO_CUDA_DEVICE.
absl::StatusOr<std::unique_ptr<DeviceMemory>> OpenDeviceMemory(const CompactionDevice& device);
// What works on that memory: its batches name addresses of the device. Errors: as OpenDeviceMemory.
absl::StatusOr<std::unique_ptr<Compactor>> OpenDeviceCompactor(const CompactionDevice& device);
// A stream of that GPU. Errors: as OpenDeviceMemory.
absl::StatusOr<std::unique_ptr<DeviceStream>> OpenDeviceStream(const CompactionDevice& device);

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_COMPACTION_DEVICE_H_
