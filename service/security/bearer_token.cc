#include "service/security/bearer_token.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "service/format/sha256.h"

namespace chunkkv {

std::optional<std::string_view> TokenOfHeader(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() <= kScheme.size()) return std::nullopt;
  const std::string_view scheme = authorization.substr(0, kScheme.size());
  if (!absl::EqualsIgnoreCase({scheme.data(), scheme.size()}, {kScheme.data(), kScheme.size()})) return std::nullopt;
  return authorization.substr(kScheme.size());
}

Bytes32 HashOfPresented(std::string_view token) {
  // What the token lacks to the longest is hashed beside it: as many blocks for every length, give or take one.
  static constexpr std::array<char, kMaxTokenBytes> kFiller{};
  const std::string_view hashed = token.substr(0, std::min(token.size(), kMaxTokenBytes));
  const Bytes32 hash = Sha256Of(hashed);
  Sha256 rest;
  rest.Update({kFiller.data(), kMaxTokenBytes - hashed.size()});
  const Bytes32 hash_of_nothing = rest.Finish();
  return token.size() > kMaxTokenBytes ? hash_of_nothing : hash;
}

bool EqualInConstantTime(const Bytes32& left, const Bytes32& right) {
  return CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

}  // namespace chunkkv
