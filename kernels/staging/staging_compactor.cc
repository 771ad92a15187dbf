#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

#include "chunkkv/kernels/staging.h"
#include "kernels/common/check_batch.h"
#include "kernels/common/row_address.h"
#include "kernels/common/run.h"
#include "kernels/staging/score_slot.h"

namespace chunkkv {
namespace {

constexpr size_t kLanes = 2;
constexpr size_t kSlots = 2;  // of a lane: one layer arrives while the other is scored

using Lane = std::array<std::unique_ptr<ScoreSlot>, kSlots>;

// Failures of the request, which the host would meet as well.
bool IsOfInput(const absl::Status& status) {
  return status.code() == absl::StatusCode::kInvalidArgument || status.code() == absl::StatusCode::kCancelled;
}

class StagingCompactor final : public Compactor {
 public:
  StagingCompactor(std::unique_ptr<Compactor> device, std::unique_ptr<DeviceMemory> memory,
                   std::unique_ptr<Compactor> host)
      : memory_(std::move(memory)), device_(std::move(device)), host_(std::move(host)) {
    for (Lane& lane : lanes_) free_.push_back(&lane);
  }

  std::string_view Name() const override { return "staged"; }

  // What the host needs for the whole batch, should the device fail.
  size_t WorkspaceBytes(const Plan& plan, const Batch& batch) const override {
    return host_->WorkspaceBytes(plan, batch);
  }

  absl::Status Enqueue(const Plan& plan, const Batch& batch, absl::Span<std::byte> workspace,
                       ExecutionContext& context) const override {
    if (plan.source != ScoreSource::kQueryWindow || batch.score.empty() || has_failed_ || !context.status.ok()) {
      return host_->Enqueue(plan, batch, workspace, context);
    }
    if (absl::Status status = CheckHostBatch(plan, batch, workspace, WorkspaceBytes(plan, batch)); !status.ok()) {
      return status;
    }
    absl::Status scored = Score(plan, batch.score, context);
    if (!scored.ok() && !IsOfInput(scored)) {
      // Memory may be free again later, and other shapes may be taken; a device with an error is of no more use.
      if (scored.code() == absl::StatusCode::kInternal) has_failed_ = true;
      return host_->Enqueue(plan, batch, workspace, context);
    }
    if (!scored.ok()) {
      context.status = std::move(scored);
      return absl::OkStatus();
    }
    Batch rest = batch;
    rest.score = {};
    return host_->Enqueue(plan, rest, workspace, context);
  }

  absl::Status Wait(ExecutionContext& context) const override { return host_->Wait(context); }

 private:
  absl::Status Score(const Plan& plan, absl::Span<const ScoreTask> tasks, const ExecutionContext& context) const {
    for (const ScoreTask& task : tasks) {
      if (!HasAllRows(task.keys) || !HasAllRows(task.key_scales)) return BadPositionStatus();
    }
    Lane* lane = Take();
    absl::Status status = ScoreIn(*lane, plan, tasks, context);
    for (const std::unique_ptr<ScoreSlot>& slot : *lane) {
      if (slot != nullptr) slot->Drain();
    }
    Give(lane);
    return status;
  }

  absl::Status ScoreIn(Lane& lane, const Plan& plan, absl::Span<const ScoreTask> tasks,
                       const ExecutionContext& context) const {
    for (size_t i = 0; i < tasks.size() + kSlots; ++i) {
      std::unique_ptr<ScoreSlot>& slot = lane[i % kSlots];
      if (slot != nullptr && slot->IsBusy()) {
        if (absl::Status status = slot->Finish(plan); !status.ok()) return status;
      }
      if (i >= tasks.size()) continue;
      if (IsCancelled(context)) return CancelledStatus();
      if (slot == nullptr) {
        absl::StatusOr<std::unique_ptr<ScoreSlot>> made = ScoreSlot::Create(*device_, *memory_);
        if (!made.ok()) return made.status();
        slot = *std::move(made);
      }
      if (absl::Status status = slot->Start(plan, tasks[i], context); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  Lane* Take() const {
    std::unique_lock<std::mutex> lock(mutex_);
    is_free_.wait(lock, [this] { return !free_.empty(); });
    Lane* lane = free_.back();
    free_.pop_back();
    return lane;
  }

  void Give(Lane* lane) const {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      free_.push_back(lane);
    }
    is_free_.notify_one();
  }

  std::unique_ptr<DeviceMemory> memory_;
  std::unique_ptr<Compactor> device_;
  std::unique_ptr<Compactor> host_;
  mutable std::array<Lane, kLanes> lanes_;
  mutable std::mutex mutex_;
  mutable std::condition_variable is_free_;
  mutable std::vector<Lane*> free_;
  mutable std::atomic<bool> has_failed_{false};
};

}  // namespace

std::unique_ptr<Compactor> MakeStagingCompactor(std::unique_ptr<Compactor> device, std::unique_ptr<DeviceMemory> memory,
                                                std::unique_ptr<Compactor> host) {
  return std::make_unique<StagingCompactor>(std::move(device), std::move(memory), std::move(host));
}

}  // namespace chunkkv
