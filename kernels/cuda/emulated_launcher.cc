#include "kernels/cuda/emulated_launcher.h"

#include "kernels/cuda/launcher_of.h"
#include "kernels/simt/emulation/grid.h"

namespace chunkkv::cuda {
namespace {

constexpr int32_t kSmCount = 3;  // few, so that small grids have blocks with several items

class EmulatedPlace {
 public:
  EmulatedPlace(uint64_t seed, simt::emulation::Traffic* traffic) : seed_(seed), traffic_(traffic) {}

  int32_t SmCount() const { return kSmCount; }
  bool Reaches(const MemoryPlace& place) const { return place.kind != MemoryKind::kDevice; }

  template <typename Kernel>
  absl::Status Launch(const typename Kernel::Params& params, const LaunchShape& shape) const {
    const simt::emulation::GridShape grid = {static_cast<int>(shape.block_count), Kernel::kThreads,
                                             Kernel::SharedBytes(params)};
    simt::emulation::RunGrid(
        grid, seed_, [&params] { Kernel::Run(params); }, traffic_);
    return absl::OkStatus();
  }

  absl::StatusOr<bool> Wait(void*, const std::function<bool()>& cancelled) const {
    return cancelled != nullptr && cancelled();
  }

 private:
  uint64_t seed_;
  simt::emulation::Traffic* traffic_;
};

}  // namespace

std::unique_ptr<Launcher> MakeEmulatedLauncher(uint64_t seed, simt::emulation::Traffic* traffic) {
  return std::make_unique<LauncherOf<EmulatedPlace>>(EmulatedPlace(seed, traffic));
}

}  // namespace chunkkv::cuda
