#include "tests/unit/cuda/emulated_device.h"

#include "kernels/cuda/cuda_compactor.h"
#include "kernels/cuda/emulated_launcher.h"

namespace chunkkv::testing {

EmulatedDevice::EmulatedDevice(uint64_t seed, bool counts_traffic)
    : seed_(seed),
      counts_traffic_(counts_traffic),
      compactor_(cuda::MakeCompactor(
          MakeForwardingLauncher([this](const LaunchSeen& launch) { return LauncherFor(launch); }))) {}

CompactionOutcome EmulatedDevice::Compact(const Plan& plan, const std::vector<LayerInput>& layers) {
  return ::chunkkv::testing::Compact(*compactor_, plan, layers, Context());
}

absl::Status EmulatedDevice::Run(const Plan& plan, const Batch& batch) {
  ExecutionContext context = Context();
  return RunBatch(*compactor_, plan, batch, context);
}

const simt::emulation::Traffic& EmulatedDevice::TrafficOf(std::string_view kernel) const {
  static const simt::emulation::Traffic kNone;
  const auto found = traffic_.find(kernel);
  return found == traffic_.end() ? kNone : found->second;
}

const cuda::Launcher* EmulatedDevice::LauncherFor(const LaunchSeen& launch) {
  launches_.push_back(launch);
  std::unique_ptr<cuda::Launcher>& launcher = launchers_[std::string(launch.kernel)];
  if (launcher == nullptr) {
    launcher = cuda::MakeEmulatedLauncher(seed_, counts_traffic_ ? &traffic_[std::string(launch.kernel)] : nullptr);
  }
  return launcher.get();
}

ExecutionContext EmulatedDevice::Context() {
  ExecutionContext context;
  context.failure = &failure_;
  context.max_sm_count = max_sm_count_;
  return context;
}

}  // namespace chunkkv::testing
