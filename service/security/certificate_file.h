// What the files of a TLS listener hold, so that a wrong one is named when the server starts and not at a handshake.
#ifndef CHUNKKV_SERVICE_SECURITY_CERTIFICATE_FILE_H_
#define CHUNKKV_SERVICE_SECURITY_CERTIFICATE_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace chunkkv {

// Paths of PEM files. All empty: no TLS.
struct TlsFiles {
  std::string certificate;  // the server's, with the chain behind it
  std::string key;
  std::string client_ca;  // of whose certificates clients must have one; empty: clients need none
  // Also where what it takes is not all there, which CheckTlsFiles refuses.
  bool enabled() const { return !certificate.empty() || !key.empty() || !client_ca.empty(); }
  bool proves_clients() const { return !certificate.empty() && !client_ca.empty(); }
};

// The end of the server certificate's validity, in Unix milliseconds. Checks that all files are there and hold what
// they should, and that the key is the certificate's. `files` are enabled. Errors: those of ReadSmallFile, INVALID_ARGUMENT
// (BAD_CERTIFICATE).
absl::StatusOr<int64_t> CheckTlsFiles(const TlsFiles& files);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SECURITY_CERTIFICATE_FILE_H_
