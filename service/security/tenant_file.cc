#include "service/security/tenant_file.h"

#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/format/small_file.h"
#include "service/security/tenant_parser.h"

namespace chunkkv {
namespace {

constexpr int64_t kMaxFileBytes = 4 << 20;

absl::StatusOr<std::string> ReadText(const std::string& path) {
  return ReadSmallFile(path, kMaxFileBytes, "BAD_TENANTS");
}

}  // namespace

TenantFile::TenantFile(std::string path, std::string audience, std::string text,
                       std::shared_ptr<const TenantDirectory> directory)
    : path_(std::move(path)),
      audience_(std::move(audience)),
      text_(std::move(text)),
      directory_(std::move(directory)) {}

absl::StatusOr<std::unique_ptr<TenantFile>> TenantFile::Load(std::string path, std::string audience) {
  CHUNKKV_ASSIGN_OR_RETURN(std::string text, ReadText(path));
  CHUNKKV_ASSIGN_OR_RETURN(std::shared_ptr<const TenantDirectory> directory, ParseTenants(text, audience));
  return std::unique_ptr<TenantFile>(
      new TenantFile(std::move(path), std::move(audience), std::move(text), std::move(directory)));
}

std::shared_ptr<const TenantDirectory> TenantFile::Current() const {
  MutexLock lock(mutex_);
  return directory_;
}

absl::StatusOr<bool> TenantFile::Refresh() {
  const absl::StatusOr<std::string> text = ReadText(path_);
  {
    MutexLock lock(mutex_);
    // A file that cannot be read is as one wrong text: told once.
    const std::string seen = text.ok() ? *text : std::string(text.status().message());
    if (seen == text_) return false;
    text_ = seen;
  }
  CHUNKKV_RETURN_IF_ERROR(text.status());
  CHUNKKV_ASSIGN_OR_RETURN(std::shared_ptr<const TenantDirectory> directory, ParseTenants(*text, audience_));
  MutexLock lock(mutex_);
  directory_ = std::move(directory);
  return true;
}

}  // namespace chunkkv
