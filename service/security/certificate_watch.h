// The certificate of a TLS listener, whose files may change while the server runs.
#ifndef CHUNKKV_SERVICE_SECURITY_CERTIFICATE_WATCH_H_
#define CHUNKKV_SERVICE_SECURITY_CERTIFICATE_WATCH_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "service/security/certificate_file.h"

namespace chunkkv {

class CertificateWatch {
 public:
  // Errors: those of CheckTlsFiles.
  static absl::StatusOr<std::unique_ptr<CertificateWatch>> Start(TlsFiles files);

  // The end of its validity, in Unix milliseconds, as it was when the files were right last. From any thread.
  int64_t end_unix_ms() const { return end_unix_ms_; }
  // Checks the files again: true where the end is another, or they are right again. An error is told once for each thing
  // that is wrong. One call at a time.
  absl::StatusOr<bool> Refresh();

 private:
  CertificateWatch(TlsFiles files, int64_t end_unix_ms) : files_(std::move(files)), end_unix_ms_(end_unix_ms) {}

  const TlsFiles files_;
  std::atomic<int64_t> end_unix_ms_;
  absl::Status told_;  // what the files are, as far as it has been told
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SECURITY_CERTIFICATE_WATCH_H_
