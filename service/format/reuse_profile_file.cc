#include <cerrno>
#include <filesystem>
#include <fstream>

#include "chunkkv/kernels/status.h"
#include "service/format/atomic_file.h"
#include "service/format/file_status.h"
#include "service/format/reuse_profile.h"

namespace chunkkv {
namespace {

constexpr std::streamsize kMaxFileBytes = 4 << 20;
constexpr mode_t kReadableByAll = 0644;  // a profile holds no secret, and a server may run as another user

}  // namespace

absl::StatusOr<ReuseProfile> ReadReuseProfile(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return InvalidArgument("BAD_PROFILE", path + " is a directory");
  std::ifstream file(path, std::ios::binary);
  if (!file) return FileStatus(errno, "open", path);
  std::string text(kMaxFileBytes + 1, '\0');
  file.read(text.data(), kMaxFileBytes + 1);
  if (file.bad()) return FileStatus(EIO, "read", path);
  if (file.gcount() > kMaxFileBytes) return InvalidArgument("BAD_PROFILE", path + " is too large to be a profile");
  text.resize(static_cast<size_t>(file.gcount()));
  return ParseReuseProfile(text);
}

absl::Status WriteReuseProfile(const std::string& path, const ReuseProfile& profile) {
  const std::string text = ReuseProfileText(profile);
  return WriteFileAtomically(path, {{reinterpret_cast<const std::byte*>(text.data()), text.size()}}, kReadableByAll);
}

}  // namespace chunkkv
