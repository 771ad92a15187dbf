#include "kernels/c/device.h"

#include <optional>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "kernels/c/last_error.h"
#include "kernels/c/read_struct.h"
#include "kernels/common/cuda_name.h"
#if CHUNKKV_HAS_CUDA
#include "chunkkv/kernels/cuda.h"
#endif

namespace chunkkv::c {
namespace {

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
  } else if (const std::optional<int> ordinal = CudaOrdinal(name)) {
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
