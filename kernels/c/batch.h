// A batch of the C interface as a compactor takes it. Kept by a context, so that its lists live until Wait, and filled
// again afterwards, so that nothing is allocated once they have grown.
#ifndef CHUNKKV_KERNELS_C_BATCH_H_
#define CHUNKKV_KERNELS_C_BATCH_H_

#include <deque>
#include <vector>

#include "absl/status/status.h"
#include "chunkkv/kernels.h"
#include "chunkkv/kernels/compactor.h"
#include "chunkkv/kernels/plan.h"

namespace chunkkv::c {

class OwnedBatch {
 public:
  // Errors: INVALID_ARGUMENT BAD_STRUCT, BAD_DTYPE, BAD_MEMORY_KIND, BAD_TASK.
  absl::Status Read(const Plan& plan, const chunkkv_batch* from);

  // Valid until the next Read.
  Batch View() const { return {score_, select_, gather_, rotate_, scatter_, digest_}; }

 private:
  absl::Status ReadScore(const Plan& plan, absl::string_view name, const chunkkv_score_task& from);
  absl::Status ReadSelect(const Plan& plan, absl::string_view name, const chunkkv_select_task& from);
  absl::Status ReadGather(absl::string_view name, const chunkkv_gather_task& from);
  absl::Status ReadRotate(absl::string_view name, const chunkkv_rotate_task& from);
  absl::Status ReadScatter(absl::string_view name, const chunkkv_scatter_task& from);
  absl::Status ReadDigest(absl::string_view name, const chunkkv_digest_task& from);

  std::vector<ScoreTask> score_;
  std::vector<SelectTask> select_;
  std::vector<GatherTask> gather_;
  std::vector<RotateTask> rotate_;
  std::vector<ScatterTask> scatter_;
  std::vector<DigestTask> digest_;
  std::vector<std::vector<const float*>> score_lists_;  // of select tasks
  std::deque<RopeShape> ropes_;                         // of rotate tasks; tasks point into it
};

}  // namespace chunkkv::c

#endif  // CHUNKKV_KERNELS_C_BATCH_H_
