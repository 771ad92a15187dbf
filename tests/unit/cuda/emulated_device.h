#ifndef CHUNKKV_TESTS_UNIT_CUDA_EMULATED_DEVICE_H_
#define CHUNKKV_TESTS_UNIT_CUDA_EMULATED_DEVICE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/launcher.h"
#include "kernels/simt/emulation/traffic.h"
#include "tests/unit/cuda/forwarding_launcher.h"
#include "tests/unit/kernels/compaction_run.h"

namespace chunkkv::testing {

// A CudaCompactor whose kernels the emulation runs on the caller's memory, and what is seen of its launches.
class EmulatedDevice {
 public:
  // `seed`: of the order of threads.
  explicit EmulatedDevice(uint64_t seed = 1, bool counts_traffic = false);

  EmulatedDevice(const EmulatedDevice&) = delete;
  EmulatedDevice& operator=(const EmulatedDevice&) = delete;

  const Compactor& compactor() const { return *compactor_; }

  // Blocks of a kernel at a time; 0: as many as it has work for.
  void set_max_sm_count(int32_t count) { max_sm_count_ = count; }

  CompactionOutcome Compact(const Plan& plan, const std::vector<LayerInput>& layers);
  absl::Status Run(const Plan& plan, const Batch& batch);

  const std::vector<LaunchSeen>& launches() const { return launches_; }
  // Of all launches of a kernel, by the Launcher's name for it.
  const simt::emulation::Traffic& TrafficOf(std::string_view kernel) const;
  const std::map<std::string, simt::emulation::Traffic, std::less<>>& traffic() const { return traffic_; }

 private:
  const cuda::Launcher* LauncherFor(const LaunchSeen& launch);
  ExecutionContext Context();

  uint64_t seed_;
  bool counts_traffic_;
  int32_t max_sm_count_ = 0;
  uint64_t failure_ = kNoFailure;
  std::vector<LaunchSeen> launches_;
  std::map<std::string, simt::emulation::Traffic, std::less<>> traffic_;
  std::map<std::string, std::unique_ptr<cuda::Launcher>, std::less<>> launchers_;
  std::unique_ptr<Compactor> compactor_;
};

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_UNIT_CUDA_EMULATED_DEVICE_H_
