// A request as a worker holds it: tasks of all layers, and memory for what they write, on a device.
#ifndef CHUNKKV_TESTS_BENCH_GPU_DEVICE_REQUEST_H_
#define CHUNKKV_TESTS_BENCH_GPU_DEVICE_REQUEST_H_

#include <cstdint>
#include <vector>

#include "chunkkv/kernels/compactor.h"
#include "chunkkv/kernels/device_memory.h"
#include "kernels/staging/device_buffer.h"
#include "tests/unit/kernels/compaction_run.h"

namespace chunkkv::bench {

struct RequestParts {
  bool score = true;
  bool select = true;
  bool gather = true;
  bool masses = false;       // the guardrail's, which select tasks find beside the positions
  bool chunk_means = false;  // scores may be chunks' (ScoreTask::allows_chunk_means)
};

class DeviceRequest {
 public:
  // `layers`: views of the device, without values where nothing is gathered. Outputs hold no number at first.
  DeviceRequest(const Plan& plan, const std::vector<testing::LayerInput>& layers, const RequestParts& parts,
                const Compactor& compactor, DeviceMemory& memory, void* stream);
  DeviceRequest(const DeviceRequest&) = delete;
  DeviceRequest& operator=(const DeviceRequest&) = delete;

  // Enqueues all parts, or some of them, on the stream. Ends the program where they are refused.
  void Start(const Compactor& compactor) { Start(compactor, parts_); }
  void Start(const Compactor& compactor, const RequestParts& parts);
  // Waits; ends the program where something failed.
  void Finish(const Compactor& compactor);

  size_t scratch_bytes() const { return scratch_bytes_; }
  float* token_scores(size_t scored_layer) const;  // [P]
  int64_t score_count() const;                     // of all scored layers
  const std::vector<GatherTask>& gathers() const { return gather_; }
  std::byte* kept() const { return kept_.data(); }  // K and V of the first layer, of the second, ...
  size_t kept_bytes() const { return kept_bytes_; }

  // What was written, on the host.
  testing::CompactionOutcome Download();

 private:
  Batch BatchOf(const RequestParts& parts) const;
  void AddTasks(const std::vector<testing::LayerInput>& layers);
  void Poison(DeviceBuffer& buffer, size_t bytes);

  const Plan& plan_;
  RequestParts parts_;
  DeviceMemory& memory_;
  void* stream_;
  DeviceBuffer token_scores_, positions_, masses_, kept_, workspace_, failure_;
  std::vector<int32_t> scored_layers_;
  std::vector<ScoreTask> score_;
  std::vector<SelectTask> select_;
  std::vector<GatherTask> gather_;
  std::vector<std::vector<const float*>> lists_;
  size_t kept_bytes_ = 0;
  size_t scratch_bytes_ = 0;
  ExecutionContext context_;
};

}  // namespace chunkkv::bench

#endif  // CHUNKKV_TESTS_BENCH_GPU_DEVICE_REQUEST_H_
