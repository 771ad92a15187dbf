// A whole request on a device: one batch that scores, selects and gathers, as a worker starts it.
#ifndef CHUNKKV_TESTS_GPU_DEVICE_REQUEST_H_
#define CHUNKKV_TESTS_GPU_DEVICE_REQUEST_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "chunkkv/kernels/compactor.h"
#include "chunkkv/kernels/device_memory.h"
#include "tests/unit/kernels/compaction_run.h"
#include "tests/unit/kernels/device_mirror.h"

namespace chunkkv::testing {

class DeviceRequest {
 public:
  // `layers` are views of the device. Outputs, and the workspace, which a canary follows, hold no number at first.
  DeviceRequest(const Compactor& compactor, DeviceMemory& memory, const Plan& plan,
                const std::vector<LayerInput>& layers);
  ~DeviceRequest();
  DeviceRequest(const DeviceRequest&) = delete;
  DeviceRequest& operator=(const DeviceRequest&) = delete;

  // Enqueues, on a stream of its own.
  absl::Status Start(int32_t max_sm_count = 0);
  // Waits. Without the guardrail: policy_applied, budget and jaccard are not filled in.
  CompactionOutcome Finish();

 private:
  void AddScores(const std::vector<LayerInput>& layers);
  void AddSelects();
  void AddGathers(const std::vector<LayerInput>& layers);

  const Compactor& compactor_;
  DeviceMemory& memory_;
  const Plan& plan_;
  void* stream_;
  DeviceMirror mirror_;
  CompactionOutcome outcome_;  // what CopyBack fills
  std::vector<std::vector<double>> masses_;
  std::vector<ScoreTask> score_;
  std::vector<SelectTask> select_;
  std::vector<GatherTask> gather_;
  std::vector<std::vector<const float*>> lists_;
  std::vector<std::byte> workspace_;  // as on the device, canary included
  size_t workspace_bytes_ = 0;
  ExecutionContext context_;
};

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_GPU_DEVICE_REQUEST_H_
