#include "service/base/status_macros.h"
#include "service/format/atomic_file.h"
#include "service/format/reuse_profile.h"
#include "service/format/small_file.h"

namespace chunkkv {
namespace {

constexpr int64_t kMaxFileBytes = 4 << 20;
constexpr mode_t kReadableByAll = 0644;  // a profile holds no secret, and a server may run as another user

}  // namespace

absl::StatusOr<ReuseProfile> ReadReuseProfile(const std::string& path) {
  CHUNKKV_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(path, kMaxFileBytes, "BAD_PROFILE"));
  return ParseReuseProfile(text);
}

absl::Status WriteReuseProfile(const std::string& path, const ReuseProfile& profile) {
  const std::string text = ReuseProfileText(profile);
  return WriteFileAtomically(path, {{reinterpret_cast<const std::byte*>(text.data()), text.size()}}, kReadableByAll);
}

}  // namespace chunkkv
