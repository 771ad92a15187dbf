#include "chunkkv/kernels/compaction_device.h"

#include <charconv>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
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
  return Unimplemented("NO_CUDA", absl::StrCat("cuda:", ordinal, ": this build has no CUDA kernels"));
#endif
}

// Of "cuda" or "cuda:N".
std::optional<int> OrdinalOf(std::string_view choice) {
  if (choice == kCuda) return 0;
  if (choice.size() <= kCuda.size() + 1 || choice.substr(0, kCuda.size()) != kCuda || choice[kCuda.size()] != ':') {
    return std::nullopt;
  }
  const std::string_view digits = choice.substr(kCuda.size() + 1);
  int ordinal = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), ordinal);
  if (error != std::errc() || end != digits.data() + digits.size() || ordinal < 0) return std::nullopt;
  return ordinal;
}

}  // namespace

absl::StatusOr<CompactionDevice> OpenCompactionDevice(std::string_view choice) {
  if (choice == "auto") {
    if (absl::StatusOr<CompactionDevice> first = OpenCuda(0); first.ok()) return first;
    choice = "cpu";
  }
  if (choice == "cpu") return CompactionDevice{"cpu", "cpu", 0, MakeCpuCompactor()};
  if (const std::optional<int> ordinal = OrdinalOf(choice)) return OpenCuda(*ordinal);
  return InvalidArgument("BAD_DEVICE", absl::StrCat("device '", absl::string_view(choice.data(), choice.size()),
                                                    "' is not auto, cpu, cuda or cuda:N"));
}

}  // namespace chunkkv
