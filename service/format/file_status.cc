#include "service/format/file_status.h"

#include <cerrno>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"

namespace chunkkv {

absl::Status FileStatus(int error_number, std::string_view action, const std::string& path) {
  const std::string message =
      absl::StrCat(std::string(action), " ", path, ": ", std::generic_category().message(error_number));
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return ErrorStatus(absl::StatusCode::kNotFound, "FILE_NOT_FOUND", message);
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorStatus(absl::StatusCode::kPermissionDenied, "FILE_PERMISSION", message);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return ErrorStatus(absl::StatusCode::kResourceExhausted, "DISK_FULL", message);
    default:
      return ErrorStatus(absl::StatusCode::kUnavailable, "IO_ERROR", message);
  }
}

}  // namespace chunkkv
