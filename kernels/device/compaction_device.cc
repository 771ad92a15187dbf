#include "chunkkv/kernels/compaction_device.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "kernels/common/cuda_name.h"
#if CHUNKKV_HAS_CUDA
#include "chunkkv/kernels/cuda.h"
#include "chunkkv/kernels/staging.h"
#endif

namespace chunkkv {
namespace {

constexpr std::string_view kCuda = "cuda";

absl::StatusOr<CompactionDevice> OpenCuda(int ordinal) {
#if CHUNKKV_HAS_CUDA
  absl::StatusOr<std::unique_ptr<Compactor>> device = MakeCudaCompactor(ordinal);
  if (!device.ok()) return device.status();
  absl::StatusOr<std::unique_ptr<DeviceMemory>> memory = MakeCudaMemory(ordinal);
  if (!memory.ok()) return memory.status();
  return CompactionDevice{std::string(kCuda), CudaDeviceName(ordinal), ordinal,
                          MakeStagingCompactor(*std::move(device), *std::move(memory), MakeCpuCompactor())};
#else
  return Unimplemented("NO_CUDA", absl::StrCat("device cuda:", ordinal, ": this build has no CUDA kernels"));
#endif
}

absl::Status NoDeviceMemory(const CompactionDevice& device) {
  return FailedPrecondition("NO_DEVICE_MEMORY", absl::StrCat("device ", device.kind, " has no memory of its own"));
}

}  // namespace

absl::StatusOr<CompactionDevice> OpenCompactionDevice(std::string_view choice) {
  if (choice == "auto") {
    if (absl::StatusOr<CompactionDevice> first = OpenCuda(0); first.ok()) return first;
    choice = "cpu";
  }
  if (choice == "cpu") return CompactionDevice{"cpu", "cpu", 0, MakeCpuCompactor()};
  if (choice == kCuda) return OpenCuda(0);
  if (const std::optional<int> ordinal = CudaOrdinal(choice)) return OpenCuda(*ordinal);
  return InvalidArgument("BAD_DEVICE", absl::StrCat("device '", absl::string_view(choice.data(), choice.size()),
                                                    "' is not auto, cpu, cuda or cuda:N"));
}

absl::StatusOr<std::unique_ptr<DeviceMemory>> OpenDeviceMemory(const CompactionDevice& device) {
#if CHUNKKV_HAS_CUDA
  if (device.kind == kCuda) return MakeCudaMemory(device.ordinal);
#endif
  return NoDeviceMemory(device);
}

absl::StatusOr<std::unique_ptr<Compactor>> OpenDeviceCompactor(const CompactionDevice& device) {
#if CHUNKKV_HAS_CUDA
  if (device.kind == kCuda) return MakeCudaCompactor(device.ordinal);
#endif
  return NoDeviceMemory(device);
}

absl::StatusOr<std::unique_ptr<DeviceStream>> OpenDeviceStream(const CompactionDevice& device) {
#if CHUNKKV_HAS_CUDA
  if (device.kind == kCuda) return MakeCudaStream(device.ordinal);
#endif
  return NoDeviceMemory(device);
}

}  // namespace chunkkv
