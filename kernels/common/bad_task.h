#ifndef CHUNKKV_KERNELS_COMMON_BAD_TASK_H_
#define CHUNKKV_KERNELS_COMMON_BAD_TASK_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "chunkkv/kernels/status.h"

namespace chunkkv {

// INVALID_ARGUMENT BAD_TASK of the task `name`: "gather[3]".
inline absl::Status BadTask(absl::string_view name, absl::string_view what) {
  return InvalidArgument("BAD_TASK", absl::StrCat(name, ": ", what));
}

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_COMMON_BAD_TASK_H_
