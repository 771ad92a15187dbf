#include "service/security/certificate_watch.h"

#include "service/base/status_macros.h"

namespace chunkkv {

absl::StatusOr<std::unique_ptr<CertificateWatch>> CertificateWatch::Start(TlsFiles files) {
  CHUNKKV_ASSIGN_OR_RETURN(const int64_t end_unix_ms, CheckTlsFiles(files));
  return std::unique_ptr<CertificateWatch>(new CertificateWatch(std::move(files), end_unix_ms));
}

absl::StatusOr<bool> CertificateWatch::Refresh() {
  const absl::StatusOr<int64_t> end_unix_ms = CheckTlsFiles(files_);
  const bool is_told = told_ == end_unix_ms.status();
  told_ = end_unix_ms.status();
  if (end_unix_ms.ok()) return end_unix_ms_.exchange(*end_unix_ms) != *end_unix_ms || !is_told;
  if (is_told) return false;
  return end_unix_ms.status();
}

}  // namespace chunkkv
