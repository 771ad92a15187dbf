// Enqueue starts a handful of kernels and returns; nothing it does waits for the device.
#include "kernels/cuda/cuda_compactor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "kernels/common/check_batch.h"
#include "kernels/common/run.h"
#include "kernels/cuda/check_addresses.h"
#include "kernels/cuda/copy_stage.h"
#include "kernels/cuda/digest_stage.h"
#include "kernels/cuda/rotate_stage.h"
#include "kernels/cuda/score_stage.h"
#include "kernels/cuda/select_stage.h"

namespace chunkkv::cuda {
namespace {

absl::Status StatusOfFailure(uint64_t failure) {
  switch (KindOfFailure(failure)) {
    case FailureKind::kNonFinite:
      return NonFiniteStatus(LayerOfFailure(failure));
    case FailureKind::kNegative:
      return NegativeScoresStatus(LayerOfFailure(failure));
    case FailureKind::kBadPosition:
      break;
  }
  return BadPositionStatus();
}

class CudaCompactor final : public Compactor {
 public:
  explicit CudaCompactor(std::unique_ptr<Launcher> launcher) : launcher_(std::move(launcher)) {}

  std::string_view Name() const override { return "cuda"; }

  size_t WorkspaceBytes(const Plan& plan, const Batch& batch) const override {
    return std::max({ScoreScratchBytes(plan, batch.score), SelectScratchBytes(plan, batch.select),
                     RotateScratchBytes(batch.rotate)});
  }

  absl::Status Enqueue(const Plan& plan, const Batch& batch, absl::Span<std::byte> workspace,
                       ExecutionContext& context) const override {
    if (absl::Status status = CheckBatch(plan, batch, workspace, WorkspaceBytes(plan, batch)); !status.ok()) {
      return status;
    }
    if (absl::Status status = CheckPlaces(batch); !status.ok()) return status;
    if (context.failure == nullptr) return InvalidArgument("BAD_TASK", "the context has no word for failures");
    if (absl::Status status = CheckAddresses(plan, batch, context); !status.ok()) return status;
    if (context.status.ok()) context.status = Start(plan, batch, Scratch(workspace.data()), context);
    return absl::OkStatus();
  }

  absl::Status Wait(ExecutionContext& context) const override {
    const absl::StatusOr<bool> cancelled = launcher_->Wait(context.stream, context.cancelled);
    const uint64_t failure = context.failure == nullptr ? kNoFailure : std::exchange(*context.failure, kNoFailure);
    if (absl::Status status = TakeStatus(context); !status.ok()) return status;
    if (!cancelled.ok()) return cancelled.status();
    if (*cancelled) return CancelledStatus();
    return failure == kNoFailure ? absl::OkStatus() : StatusOfFailure(failure);
  }

 private:
  // Scores, choices and copies follow each other in the stream, so that all use the same memory.
  absl::Status Start(const Plan& plan, const Batch& batch, Scratch scratch, const ExecutionContext& context) const {
    const Stage stage{*launcher_, context};
    if (absl::Status status = StartScores(plan, batch.score, scratch, stage); !status.ok()) return status;
    if (absl::Status status = StartSelects(plan, batch.select, scratch, stage); !status.ok()) return status;
    if (absl::Status status = StartGathers(batch.gather, stage); !status.ok()) return status;
    if (absl::Status status = StartRotates(batch.rotate, scratch, stage); !status.ok()) return status;
    if (absl::Status status = StartScatters(batch.scatter, stage); !status.ok()) return status;
    return StartDigests(batch.digest, stage);
  }

  // Of a view or a task that has a place. Views that a batch does not use are empty.
  template <typename View>
  bool Reaches(const View& view) const {
    return view.data == nullptr || launcher_->Reaches(view.place);
  }

  absl::Status CheckPlaces(const Batch& batch) const {
    bool reaches = true;
    for (const ScoreTask& task : batch.score) {
      reaches = reaches && Reaches(task.keys) && Reaches(task.key_scales) && Reaches(task.queries) &&
                Reaches(task.attention) && Reaches(task.token_scores_in);
    }
    for (const GatherTask& task : batch.gather) reaches = reaches && Reaches(task.source);
    for (const RotateTask& task : batch.rotate) reaches = reaches && Reaches(task.source);
    for (const ScatterTask& task : batch.scatter) reaches = reaches && Reaches(task.destination);
    for (const DigestTask& task : batch.digest) reaches = reaches && Reaches(task);
    if (reaches) return absl::OkStatus();
    return Unimplemented("DEVICE_MEMORY", "a view's memory is not reachable from the device that runs the batch");
  }

  std::unique_ptr<Launcher> launcher_;
};

}  // namespace

std::unique_ptr<Compactor> MakeCompactor(std::unique_ptr<Launcher> launcher) {
  return std::make_unique<CudaCompactor>(std::move(launcher));
}

}  // namespace chunkkv::cuda
