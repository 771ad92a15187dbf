// Failures of the operating system as statuses.
#ifndef CHUNKKV_SERVICE_FORMAT_FILE_STATUS_H_
#define CHUNKKV_SERVICE_FORMAT_FILE_STATUS_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace chunkkv {

// What `action` on `path` failing with `error_number` means: NOT_FOUND (FILE_NOT_FOUND), PERMISSION_DENIED
// (FILE_PERMISSION), RESOURCE_EXHAUSTED (DISK_FULL: no space, quota, size limit), else UNAVAILABLE (IO_ERROR).
absl::Status FileStatus(int error_number, std::string_view action, const std::string& path);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_FILE_STATUS_H_
