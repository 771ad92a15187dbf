// The executable specification: one thread of plain loops, tasks in order.
#include <algorithm>

#include "chunkkv/kernels/compactor.h"
#include "kernels/common/check_batch.h"
#include "kernels/common/run.h"
#include "kernels/reference/digest.h"
#include "kernels/reference/rows.h"
#include "kernels/reference/score.h"
#include "kernels/reference/select.h"

namespace chunkkv {
namespace {

absl::Status RunBatch(const Plan& plan, const Batch& batch, Scratch scratch, const ExecutionContext& context) {
  for (const ScoreTask& task : batch.score) {
    if (absl::Status status = reference::ScoreTokens(plan, task, scratch, context); !status.ok()) return status;
  }
  for (const SelectTask& task : batch.select) {
    if (IsCancelled(context)) return CancelledStatus();
    if (!reference::SelectPositions(plan, task, scratch, context)) return CancelledStatus();
  }
  for (const GatherTask& task : batch.gather) {
    if (absl::Status status = reference::GatherRows(task, context); !status.ok()) return status;
  }
  for (const RotateTask& task : batch.rotate) {
    if (absl::Status status = reference::RotateRows(task, context); !status.ok()) return status;
  }
  for (const ScatterTask& task : batch.scatter) {
    if (absl::Status status = reference::ScatterRows(task, context); !status.ok()) return status;
  }
  for (const DigestTask& task : batch.digest) {
    if (absl::Status status = reference::DigestBlocks(task, context); !status.ok()) return status;
  }
  return absl::OkStatus();
}

class ReferenceCompactor final : public Compactor {
 public:
  std::string_view Name() const override { return "reference"; }

  size_t WorkspaceBytes(const Plan& plan, const Batch& batch) const override {
    size_t bytes = 0;
    for (const ScoreTask& task : batch.score) {
      if (task.layer < 0 || task.layer >= static_cast<int32_t>(plan.layers.size())) continue;  // Enqueue refuses it
      bytes = std::max(bytes, reference::ScoreScratchBytes(plan, task));
    }
    for (const SelectTask& task : batch.select) bytes = std::max(bytes, reference::SelectScratchBytes(plan, task));
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

std::unique_ptr<Compactor> MakeReferenceCompactor() { return std::make_unique<ReferenceCompactor>(); }

}  // namespace chunkkv
