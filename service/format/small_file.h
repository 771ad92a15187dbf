// Files that are read whole.
#ifndef CHUNKKV_SERVICE_FORMAT_SMALL_FILE_H_
#define CHUNKKV_SERVICE_FORMAT_SMALL_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace chunkkv {

// The file's bytes. Errors: those of FileStatus, and INVALID_ARGUMENT with `reason` for a directory or a file of more
// than `max_bytes`.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path, int64_t max_bytes, std::string_view reason);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_SMALL_FILE_H_
