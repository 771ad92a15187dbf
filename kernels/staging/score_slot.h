#ifndef CHUNKKV_KERNELS_STAGING_SCORE_SLOT_H_
#define CHUNKKV_KERNELS_STAGING_SCORE_SLOT_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "chunkkv/kernels/compactor.h"
#include "kernels/staging/device_buffer.h"

namespace chunkkv {

// Memory and a stream of the device for one layer that is scored there by its queries.
class ScoreSlot {
 public:
  static absl::StatusOr<std::unique_ptr<ScoreSlot>> Create(const Compactor& device, DeviceMemory& memory);
  ~ScoreSlot();
  ScoreSlot(const ScoreSlot&) = delete;
  ScoreSlot& operator=(const ScoreSlot&) = delete;

  // Copies the task's inputs to the device and starts its scoring. The slot has no other task. `task` must outlive
  // Finish; block ids are in range.
  absl::Status Start(const Plan& plan, const ScoreTask& task, const ExecutionContext& context);

  bool IsBusy() const { return task_ != nullptr; }

  // Waits for what was started and fills the task's token scores. Errors: those of Compactor::Wait.
  absl::Status Finish(const Plan& plan);

  // Waits for what was started, whatever became of it.
  void Drain();

 private:
  ScoreSlot(const Compactor& device, DeviceMemory& memory, void* stream);

  absl::Status Upload(const ExecutionContext& context, const class StagedRows& rows, std::byte* to);
  absl::Status UploadBytes(const void* from, size_t bytes, std::byte* to);

  const Compactor& device_;
  DeviceMemory& memory_;
  void* stream_;
  DeviceBuffer inputs_;   // keys, queries, LSE, scores, workspace
  DeviceBuffer pinned_;   // pieces on their way
  DeviceBuffer failure_;  // one word
  DeviceBuffer scores_;   // pinned, on their way back
  ExecutionContext on_device_;
  const ScoreTask* task_ = nullptr;
};

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_STAGING_SCORE_SLOT_H_
