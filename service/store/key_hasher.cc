#include "service/store/key_hasher.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "service/base/check.h"
#include "service/base/random.h"

namespace chunkkv {
namespace {

constexpr size_t kShaBlockBytes = 64;
constexpr size_t kShaDigestBytes = 32;

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_MD_CTX, FreeContext>;

Context StartWithBlock(const std::array<uint8_t, kShaBlockBytes>& block) {
  Context context(EVP_MD_CTX_new());
  CHUNKKV_CHECK(context != nullptr && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1);
  CHUNKKV_CHECK(EVP_DigestUpdate(context.get(), block.data(), block.size()) == 1);
  return context;
}

void FinishFrom(const Context& start, const uint8_t* bytes, size_t size, uint8_t* digest) {
  thread_local const Context scratch(EVP_MD_CTX_new());
  CHUNKKV_CHECK(EVP_MD_CTX_copy_ex(scratch.get(), start.get()) == 1);
  CHUNKKV_CHECK(EVP_DigestUpdate(scratch.get(), bytes, size) == 1);
  CHUNKKV_CHECK(EVP_DigestFinal_ex(scratch.get(), digest, nullptr) == 1);
}

}  // namespace

// SHA-256 after the first block of each of HMAC's two hashes (RFC 2104): the secret takes part in nothing else.
struct KeyHasher::Keyed {
  Context inner;
  Context outer;
};

KeyHasher::KeyHasher()
    : keyed_([] {
        std::array<uint8_t, kShaBlockBytes> secret{};
        FillRandom(secret.data(), kShaDigestBytes);
        std::array<uint8_t, kShaBlockBytes> inner, outer;
        for (size_t i = 0; i < secret.size(); ++i) {
          inner[i] = secret[i] ^ 0x36;
          outer[i] = secret[i] ^ 0x5c;
        }
        auto keyed = std::make_unique<Keyed>(Keyed{StartWithBlock(inner), StartWithBlock(outer)});
        OPENSSL_cleanse(secret.data(), secret.size());
        OPENSSL_cleanse(inner.data(), inner.size());
        OPENSSL_cleanse(outer.data(), outer.size());
        return keyed;
      }()) {}

KeyHasher::~KeyHasher() = default;

Bytes16 KeyHasher::NextName(const Bytes16& previous, const Bytes32& digest) const {
  std::array<uint8_t, 48> message;
  std::memcpy(message.data(), previous.data(), previous.size());
  std::memcpy(message.data() + previous.size(), digest.data(), digest.size());
  std::array<uint8_t, kShaDigestBytes> hash;
  FinishFrom(keyed_->inner, message.data(), message.size(), hash.data());
  FinishFrom(keyed_->outer, hash.data(), hash.size(), hash.data());
  Bytes16 name;
  std::memcpy(name.data(), hash.data(), name.size());
  return name;
}

void KeyHasher::ExtendNames(absl::Span<const Bytes32> digests, size_t count, std::vector<Bytes16>* names) const {
  for (size_t i = names->size(); i < std::min(count, digests.size()); ++i) {
    names->push_back(NextName(i == 0 ? Bytes16{} : names->back(), digests[i]));
  }
}

}  // namespace chunkkv
