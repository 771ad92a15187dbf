// Runs batches of one session, one at a time, and counts the time they take.
#ifndef CHUNKKV_SERVICE_SESSION_COMPACTION_RUNNER_H_
#define CHUNKKV_SERVICE_SESSION_COMPACTION_RUNNER_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "chunkkv/kernels/compactor.h"
#include "service/base/executor.h"
#include "service/session/staging_memory.h"

namespace chunkkv {

// Not thread-safe. Everything given must outlive it. max_sm_count: as ExecutionContext's.
class CompactionRunner {
 public:
  CompactionRunner(const Plan& plan, const Compactor& compactor, Executor& executor, StagingMemory& memory,
                   int64_t workspace_bytes, int32_t max_sm_count, std::function<bool()> cancelled)
      : plan_(plan),
        compactor_(compactor),
        executor_(executor),
        memory_(memory),
        workspace_bytes_(workspace_bytes),
        max_sm_count_(max_sm_count),
        cancelled_(std::move(cancelled)) {}

  // Returns when the batch is done. Errors: as Compactor::Wait; CANCELLED.
  absl::Status Run(const Batch& batch);
  // body(0..count-1) on the executor and in this thread.
  void RunParallel(size_t count, const std::function<void(size_t)>& body) { executor_.RunParallel(count, body); }
  const std::function<bool()>& cancelled() const { return cancelled_; }
  int64_t elapsed_us() const { return elapsed_us_; }
  // Gives the scratch back.
  void Release() { workspace_ = nullptr; }

 private:
  const Plan& plan_;
  const Compactor& compactor_;
  Executor& executor_;
  StagingMemory& memory_;
  const int64_t workspace_bytes_;
  const int32_t max_sm_count_;
  const std::function<bool()> cancelled_;
  BufferPtr workspace_;
  int64_t elapsed_us_ = 0;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_COMPACTION_RUNNER_H_
