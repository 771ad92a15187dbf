#include "service/security/certificate_file.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <ctime>
#include <memory>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/format/small_file.h"

namespace chunkkv {
namespace {

constexpr int64_t kMaxFileBytes = 1 << 20;
constexpr char kBadCertificate[] = "BAD_CERTIFICATE";

using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Memory = std::unique_ptr<BIO, decltype(&BIO_free)>;

absl::StatusOr<std::string> ReadPem(const std::string& path) {
  return ReadSmallFile(path, kMaxFileBytes, kBadCertificate);
}

Memory MemoryOf(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free};
}

// The first one of the file.
absl::StatusOr<Certificate> ReadCertificate(const std::string& path) {
  CHUNKKV_ASSIGN_OR_RETURN(const std::string text, ReadPem(path));
  Certificate certificate(PEM_read_bio_X509(MemoryOf(text).get(), nullptr, nullptr, nullptr), X509_free);
  if (certificate == nullptr) return InvalidArgument(kBadCertificate, path + " holds no certificate in PEM");
  return certificate;
}

absl::StatusOr<Key> ReadKey(const std::string& path) {
  CHUNKKV_ASSIGN_OR_RETURN(const std::string text, ReadPem(path));
  const auto no_password = [](char*, int, int, void*) { return 0; };
  Key key(PEM_read_bio_PrivateKey(MemoryOf(text).get(), nullptr, no_password, nullptr), EVP_PKEY_free);
  if (key == nullptr) return InvalidArgument(kBadCertificate, path + " holds no private key in PEM without a password");
  return key;
}

}  // namespace

absl::StatusOr<int64_t> CheckTlsFiles(const TlsFiles& files) {
  if (files.certificate.empty() || files.key.empty()) {
    return InvalidArgument(kBadCertificate, "TLS needs the server's certificate and its key: of these one is an empty path");
  }
  CHUNKKV_ASSIGN_OR_RETURN(const Certificate certificate, ReadCertificate(files.certificate));
  CHUNKKV_ASSIGN_OR_RETURN(const Key key, ReadKey(files.key));
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return InvalidArgument(kBadCertificate, files.key + " is not the key of " + files.certificate);
  }
  if (!files.client_ca.empty()) CHUNKKV_RETURN_IF_ERROR(ReadCertificate(files.client_ca).status());
  std::tm end{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &end) != 1) {
    return InvalidArgument(kBadCertificate, files.certificate + " has no end");
  }
  return static_cast<int64_t>(timegm(&end)) * 1000;
}

}  // namespace chunkkv
