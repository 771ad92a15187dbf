#include "service/format/small_file.h"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "chunkkv/kernels/status.h"
#include "service/format/file_status.h"

namespace chunkkv {

absl::StatusOr<std::string> ReadSmallFile(const std::string& path, int64_t max_bytes, std::string_view reason) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return InvalidArgument(reason, path + " is a directory");
  std::ifstream file(path, std::ios::binary);
  if (!file) return FileStatus(errno, "open", path);
  std::string text(static_cast<size_t>(max_bytes) + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return FileStatus(EIO, "read", path);
  if (file.gcount() > max_bytes) {
    return InvalidArgument(reason, path + " has more than " + std::to_string(max_bytes) + " bytes");
  }
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

}  // namespace chunkkv
