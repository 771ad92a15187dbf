// Runs on the host, vectorised, on the threads of the context's run_parallel. Enqueue does the whole batch before it
// returns, so that Wait only reports.
#include <algorithm>

#include "chunkkv/kernels/compactor.h"
#include "kernels/common/check_batch.h"
#include "kernels/common/lanes.h"
#include "kernels/cpu/digest.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/score.h"
#include "kernels/cpu/select.h"

namespace chunkkv {
namespace {

size_t LargestSelectScratch(const Plan& plan, absl::Span<const SelectTask> tasks) {
  size_t bytes = 0;
  for (const SelectTask& task : tasks) bytes = std::max(bytes, cpu::SelectScratchBytes(plan, task));
  return bytes;
}

absl::Status SelectAll(const Plan& plan, absl::Span<const SelectTask> tasks, Scratch scratch,
                       const ExecutionContext& context) {
  const size_t lane_bytes = LargestSelectScratch(plan, tasks);
  std::byte* memory = scratch.Take<std::byte>(lane_bytes * LaneCount(tasks.size()));
  const bool complete = RunInLanes(context, tasks.size(), [&](size_t task, size_t lane) {
    return cpu::SelectPositions(plan, tasks[task], Scratch(memory + lane * lane_bytes), context);
  });
  return complete ? absl::OkStatus() : CancelledStatus();
}

absl::Status RunBatch(const Plan& plan, const Batch& batch, Scratch scratch, const ExecutionContext& context) {
  for (const ScoreTask& task : batch.score) {
    if (absl::Status status = cpu::ScoreTokens(plan, task, scratch, context); !status.ok()) return status;
  }
  if (absl::Status status = SelectAll(plan, batch.select, scratch, context); !status.ok()) return status;
  if (absl::Status status = cpu::GatherAll(batch.gather, context); !status.ok()) return status;
  if (absl::Status status = cpu::RotateAll(batch.rotate, scratch, context); !status.ok()) return status;
  if (absl::Status status = cpu::ScatterAll(batch.scatter, context); !status.ok()) return status;
  return cpu::DigestAll(batch.digest, context);
}

class CpuCompactor final : public Compactor {
 public:
  std::string_view Name() const override { return "cpu"; }

  size_t WorkspaceBytes(const Plan& plan, const Batch& batch) const override {
    size_t bytes = LargestSelectScratch(plan, batch.select) * LaneCount(batch.select.size());
    bytes = std::max(bytes, cpu::RotateScratchBytes(batch.rotate));
    for (const ScoreTask& task : batch.score) {
      if (task.layer < 0 || task.layer >= static_cast<int32_t>(plan.layers.size())) continue;  // Enqueue refuses it
      bytes = std::max(bytes, cpu::ScoreScratchBytes(plan, task));
    }
    return bytes;
  }

  absl::Status Enqueue(const Plan& plan, const Batch& batch, absl::Span<std::byte> workspace,
                       ExecutionContext& context) const override {
    if (absl::Status status = CheckHostBatch(plan, batch, workspace, WorkspaceBytes(plan, batch)); !status.ok()) {
      return status;
    }
    if (context.status.ok()) context.status = RunBatch(plan, batch, Scratch(workspace.data()), context);
    return absl::OkStatus();
  }

  absl::Status Wait(ExecutionContext& context) const override { return TakeStatus(context); }
};

}  // namespace

std::unique_ptr<Compactor> MakeCpuCompactor() { return std::make_unique<CpuCompactor>(); }

}  // namespace chunkkv
