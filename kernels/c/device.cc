#include "kernels/c/device.h"

#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "kernels/c/last_error.h"
#include "kernels/c/read_struct.h"
#if CHUNKKV_HAS_CUDA
#include "chunkkv/kernels/cuda.h"
#endif

namespace chunkkv::c {
namespace {

// Of "cuda:N".
std::optional<int> OrdinalOf(std::string_view name) {
  constexpr std::string_view kPrefix = "cuda:";
  if (name.substr(0, kPrefix.size()) != kPrefix) return std::nullopt;
  const std::string_view digits = name.substr(kPrefix.size());
  int ordinal = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), ordinal);
  if (error != std::errc() || end != digits.data() + digits.size() || ordinal < 0) return std::nullopt;
  return ordinal;
}

absl::StatusOr<std::unique_ptr<Compactor>> MakeCuda(int ordinal) {
#if CHUNKKV_HAS_CUDA
  return MakeCudaCompactor(ordinal);
#else
  return Unimplemented("NO_CUDA", absl::StrCat("cuda:", ordinal, ": this library has no CUDA kernels"));
#endif
}

absl::Status Open(const char* name, chunkkv_device** device) {
  if (device == nullptr) return BadStruct("device", "is null");
  *device = nullptr;
  if (name == nullptr) return InvalidArgument("BAD_DEVICE", "the device's name is null");
  auto opened = std::make_unique<chunkkv_device>();
  if (std::string_view(name) == "cpu") {
    opened->compactor = MakeCpuCompactor();
  } else if (std::string_view(name) == "reference") {
    opened->compactor = MakeReferenceCompactor();
  } else if (const std::optional<int> ordinal = OrdinalOf(name)) {
    absl::StatusOr<std::unique_ptr<Compactor>> made = MakeCuda(*ordinal);
    if (!made.ok()) return made.status();
    opened->compactor = *std::move(made);
    opened->is_cuda = true;
  } else {
    return InvalidArgument("BAD_DEVICE", absl::StrCat("device '", name, "' is not cpu, reference or cuda:N"));
  }
  *device = opened.release();
  return absl::OkStatus();
}

}  // namespace
}  // namespace chunkkv::c

chunkkv_code chunkkv_device_open(const char* name, chunkkv_device** device) {
  return chunkkv::c::Guarded([&] { return chunkkv::c::Open(name, device); });
}

void chunkkv_device_close(chunkkv_device* device) { delete device; }
