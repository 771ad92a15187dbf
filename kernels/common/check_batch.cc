#include "kernels/common/check_batch.h"

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "kernels/common/check_task.h"
#include "kernels/common/scratch.h"

namespace chunkkv {
namespace {

std::string TaskName(std::string_view kind, size_t index) {
  return absl::StrCat(absl::string_view(kind.data(), kind.size()), "[", index, "]");
}

template <typename Task>
absl::Status CheckTasks(const Plan& plan, absl::Span<const Task> tasks, std::string_view kind) {
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (absl::Status status = CheckTask(plan, tasks[i], TaskName(kind, i)); !status.ok()) return status;
  }
  return absl::OkStatus();
}

bool IsOnDevice(const MemoryPlace& place) { return place.kind == MemoryKind::kDevice; }

bool IsOnDevice(const Plan& plan, const ScoreTask& task) {
  if (plan.source == ScoreSource::kAttention) return IsOnDevice(task.attention.place);
  if (plan.source == ScoreSource::kTokenScores) return plan.past_length > 0 && IsOnDevice(task.token_scores_in.place);
  return IsOnDevice(task.keys.place) || IsOnDevice(task.key_scales.place) || IsOnDevice(task.queries.place);
}
bool IsOnDevice(const Plan&, const GatherTask& task) { return IsOnDevice(task.source.place); }
bool IsOnDevice(const Plan&, const RotateTask& task) { return IsOnDevice(task.source.place); }
bool IsOnDevice(const Plan&, const ScatterTask& task) { return IsOnDevice(task.destination.place); }
bool IsOnDevice(const Plan&, const DigestTask& task) { return IsOnDevice(task.place); }

template <typename Task>
absl::Status RefuseDeviceMemory(const Plan& plan, absl::Span<const Task> tasks, std::string_view kind) {
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (!IsOnDevice(plan, tasks[i])) continue;
    return Unimplemented("DEVICE_MEMORY",
                         absl::StrCat(TaskName(kind, i), ": device memory is not reachable from a CPU"));
  }
  return absl::OkStatus();
}

absl::Status CheckWorkspace(absl::Span<std::byte> workspace, size_t workspace_bytes) {
  if (workspace.size() < workspace_bytes) {
    return InvalidArgument("WORKSPACE_TOO_SMALL",
                           absl::StrCat("workspace has ", workspace.size(), " of ", workspace_bytes, " bytes"));
  }
  if (reinterpret_cast<uintptr_t>(workspace.data()) % Scratch::kAlignment != 0) {
    return InvalidArgument("BAD_TASK", "workspace is not aligned to 64 bytes");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckBatch(const Plan& plan, const Batch& batch, absl::Span<std::byte> workspace, size_t workspace_bytes) {
  if (absl::Status s = CheckTasks(plan, batch.score, "score"); !s.ok()) return s;
  if (absl::Status s = CheckTasks(plan, batch.select, "select"); !s.ok()) return s;
  if (absl::Status s = CheckTasks(plan, batch.gather, "gather"); !s.ok()) return s;
  if (absl::Status s = CheckTasks(plan, batch.rotate, "rotate"); !s.ok()) return s;
  if (absl::Status s = CheckTasks(plan, batch.scatter, "scatter"); !s.ok()) return s;
  if (absl::Status s = CheckTasks(plan, batch.digest, "digest"); !s.ok()) return s;
  return CheckWorkspace(workspace, workspace_bytes);
}

absl::Status CheckHostBatch(const Plan& plan, const Batch& batch, absl::Span<std::byte> workspace,
                            size_t workspace_bytes) {
  if (absl::Status s = CheckBatch(plan, batch, workspace, workspace_bytes); !s.ok()) return s;
  if (absl::Status s = RefuseDeviceMemory(plan, batch.score, "score"); !s.ok()) return s;
  if (absl::Status s = RefuseDeviceMemory(plan, batch.gather, "gather"); !s.ok()) return s;
  if (absl::Status s = RefuseDeviceMemory(plan, batch.rotate, "rotate"); !s.ok()) return s;
  if (absl::Status s = RefuseDeviceMemory(plan, batch.scatter, "scatter"); !s.ok()) return s;
  return RefuseDeviceMemory(plan, batch.digest, "digest");
}

}  // namespace chunkkv
