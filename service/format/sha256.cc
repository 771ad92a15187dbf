#include "service/format/sha256.h"

#include <openssl/evp.h>

#include <cstdlib>

namespace chunkkv {
namespace {

EVP_MD_CTX* AsContext(void* context) { return static_cast<EVP_MD_CTX*>(context); }

// OpenSSL fails here only without memory or without SHA-256: nothing can go on.
void CheckOne(int result) {
  if (result != 1) std::abort();
}

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  if (context_ == nullptr) std::abort();
  CheckOne(EVP_DigestInit_ex(AsContext(context_), EVP_sha256(), nullptr));
}

Sha256::~Sha256() { EVP_MD_CTX_free(AsContext(context_)); }

void Sha256::Update(std::string_view bytes) {
  CheckOne(EVP_DigestUpdate(AsContext(context_), bytes.data(), bytes.size()));
}

Bytes32 Sha256::Finish() {
  Bytes32 digest;
  CheckOne(EVP_DigestFinal_ex(AsContext(context_), digest.data(), nullptr));
  CheckOne(EVP_DigestInit_ex(AsContext(context_), EVP_sha256(), nullptr));
  return digest;
}

Bytes32 Sha256Of(std::string_view bytes) {
  Sha256 sha256;
  sha256.Update(bytes);
  return sha256.Finish();
}

}  // namespace chunkkv
