#include "service/session/compaction_runner.h"

#include <chrono>

#include "service/base/check.h"
#include "service/base/status_macros.h"

namespace chunkkv {

absl::Status CompactionRunner::Run(const Batch& batch) {
  if (workspace_ == nullptr) {
    CHUNKKV_ASSIGN_OR_RETURN(workspace_, memory_.Acquire(workspace_bytes_));
  }
  CHUNKKV_CHECK(compactor_.WorkspaceBytes(plan_, batch) <= static_cast<size_t>(workspace_bytes_));
  ExecutionContext context;
  context.run_parallel = [this](size_t count, const std::function<void(size_t)>& body) {
    executor_.RunParallel(count, body);
  };
  context.cancelled = cancelled_;
  context.max_sm_count = max_sm_count_;
  const auto begin = std::chrono::steady_clock::now();
  absl::Status status = compactor_.Enqueue(plan_, batch, workspace_->span(), context);
  if (status.ok()) status = compactor_.Wait(context);
  elapsed_us_ +=
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin).count();
  return status;
}

}  // namespace chunkkv
