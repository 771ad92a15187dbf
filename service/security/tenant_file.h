// The tenants of a file that may change while the server runs.
#ifndef CHUNKKV_SERVICE_SECURITY_TENANT_FILE_H_
#define CHUNKKV_SERVICE_SECURITY_TENANT_FILE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "service/base/mutex.h"
#include "service/security/tenant_directory.h"

namespace chunkkv {

// Thread-safe.
class TenantFile {
 public:
  // Errors: those of ReadSmallFile and ParseTenants.
  static absl::StatusOr<std::unique_ptr<TenantFile>> Load(std::string path, std::string audience);

  std::shared_ptr<const TenantDirectory> Current() const;
  // Reads the file again: true where it says something else than before. An error leaves what was there, and is told
  // once for each text that is wrong.
  absl::StatusOr<bool> Refresh();

 private:
  TenantFile(std::string path, std::string audience, std::string text,
             std::shared_ptr<const TenantDirectory> directory);

  const std::string path_;
  const std::string audience_;
  mutable Mutex mutex_;
  std::string text_ ABSL_GUARDED_BY(mutex_);  // what was read last
  std::shared_ptr<const TenantDirectory> directory_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SECURITY_TENANT_FILE_H_
