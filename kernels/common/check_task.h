// Whether one task agrees with its plan, wherever its memory is. `name` stands in the refusal: "gather[3]".
// Errors: as CheckBatch.
#ifndef CHUNKKV_KERNELS_COMMON_CHECK_TASK_H_
#define CHUNKKV_KERNELS_COMMON_CHECK_TASK_H_

#include <string>

#include "absl/status/status.h"
#include "chunkkv/kernels/compactor.h"

namespace chunkkv {

absl::Status CheckTask(const Plan& plan, const ScoreTask& task, const std::string& name);
absl::Status CheckTask(const Plan& plan, const SelectTask& task, const std::string& name);
absl::Status CheckTask(const Plan& plan, const GatherTask& task, const std::string& name);
absl::Status CheckTask(const Plan& plan, const RotateTask& task, const std::string& name);
absl::Status CheckTask(const Plan& plan, const ScatterTask& task, const std::string& name);
absl::Status CheckTask(const Plan& plan, const DigestTask& task, const std::string& name);

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_COMMON_CHECK_TASK_H_
