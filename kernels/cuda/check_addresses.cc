#include "kernels/cuda/check_addresses.h"

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"

namespace chunkkv::cuda {
namespace {

// Keeps the first field that is not aligned. Allocates only then.
class AlignmentCheck {
 public:
  // The fields that follow are of this task.
  void Begin(const char* kind, size_t index) {
    kind_ = kind;
    index_ = index;
  }

  void Address(const char* field, const void* address, size_t bytes) {
    if (reinterpret_cast<uintptr_t>(address) % bytes != 0) Refuse(field, "", bytes);
  }

  template <typename T>
  void Elements(const char* field, const T* address) {
    Address(field, address, sizeof(T));
  }

  void Elements(const char* field, const DenseView& view) { Address(field, view.data, DTypeSize(view.dtype)); }

  template <typename Byte>
  void Elements(const char* field, const BasicRowsView<Byte>& rows) {
    const size_t element = DTypeSize(rows.dtype);
    Address(field, rows.data, element);
    if (rows.token_count > 1) Stride(field, rows.token_stride_bytes, element);
    if (rows.head_count > 1) Stride(field, rows.head_stride_bytes, element);
    if (rows.IsPaged()) Stride(field, rows.block_stride_bytes, element);
    BlockIds(field, rows);
  }

  template <typename Byte>
  void BlockIds(const char* field, const BasicRowsView<Byte>& rows) {
    if (reinterpret_cast<uintptr_t>(rows.block_ids) % sizeof(int32_t) != 0)
      Refuse(field, ".block_ids", sizeof(int32_t));
  }

  const absl::Status& status() const { return status_; }

 private:
  void Stride(const char* field, int64_t stride, size_t bytes) {
    if (stride % static_cast<int64_t>(bytes) != 0) Refuse(field, " (strides)", bytes);
  }

  void Refuse(const char* field, const char* part, size_t bytes) {
    if (!status_.ok()) return;
    const std::string task = kind_ == nullptr ? "context" : absl::StrCat(kind_, "[", index_, "]");
    status_ = Unimplemented("MISALIGNED", absl::StrCat(task, ".", field, part, " is not aligned to ", bytes, " bytes"));
  }

  const char* kind_ = nullptr;
  size_t index_ = 0;
  absl::Status status_;
};

void Check(const Plan& plan, const ScoreTask& task, AlignmentCheck& check) {
  check.Elements("token_scores", task.token_scores);
  switch (plan.source) {
    case ScoreSource::kNone:
      return;
    case ScoreSource::kAttention:
      return check.Elements("attention", task.attention);
    case ScoreSource::kTokenScores:
      return check.Elements("token_scores_in", task.token_scores_in);
    case ScoreSource::kQueryWindow:
      break;
  }
  check.Elements("keys", task.keys);
  check.Elements("key_scales", task.key_scales);
  check.Elements("queries", task.queries);
  check.Elements("lse", task.lse);
}

void Check(const Plan&, const SelectTask& task, AlignmentCheck& check) {
  for (const float* scores : task.token_scores) check.Elements("token_scores", scores);
  check.Elements("positions", task.positions);
  check.Elements("retained_mass", task.retained_mass);
}

void Check(const Plan&, const GatherTask& task, AlignmentCheck& check) {
  check.BlockIds("source", task.source);
  check.Elements("positions", task.positions.data());
}

void Check(const Plan&, const RotateTask& task, AlignmentCheck& check) {
  check.Elements("source", task.source);
  check.Elements("positions", task.positions.data());
  check.Address("destination", task.destination, DTypeSize(task.source.dtype));
}

void Check(const Plan&, const ScatterTask& task, AlignmentCheck& check) {
  check.Elements("positions", task.positions.data());
  check.BlockIds("destination", task.destination);
}

void Check(const Plan&, const DigestTask& task, AlignmentCheck& check) {
  check.Elements("block_digests", task.block_digests);
}

template <typename Task>
void CheckTasks(const Plan& plan, const char* kind, absl::Span<const Task> tasks, AlignmentCheck& check) {
  for (size_t i = 0; i < tasks.size(); ++i) {
    check.Begin(kind, i);
    Check(plan, tasks[i], check);
  }
}

}  // namespace

absl::Status CheckAddresses(const Plan& plan, const Batch& batch, const ExecutionContext& context) {
  AlignmentCheck check;
  check.Elements("failure", context.failure);
  CheckTasks(plan, "score", batch.score, check);
  CheckTasks(plan, "select", batch.select, check);
  CheckTasks(plan, "gather", batch.gather, check);
  CheckTasks(plan, "rotate", batch.rotate, check);
  CheckTasks(plan, "scatter", batch.scatter, check);
  CheckTasks(plan, "digest", batch.digest, check);
  return check.status();
}

}  // namespace chunkkv::cuda
