// SHA-256 of bytes that arrive in pieces (FIPS 180-4, by OpenSSL).
#ifndef CHUNKKV_SERVICE_FORMAT_SHA256_H_
#define CHUNKKV_SERVICE_FORMAT_SHA256_H_

#include <string_view>

#include "service/format/bytes.h"

namespace chunkkv {

// Neither copied nor moved; used by one thread at a time.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void Update(std::string_view bytes);
  // Ends this digest; the next Update begins another one.
  Bytes32 Finish();

 private:
  void* context_;
};

Bytes32 Sha256Of(std::string_view bytes);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_SHA256_H_
