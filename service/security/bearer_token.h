// Bearer tokens, known by their hash only.
#ifndef CHUNKKV_SERVICE_SECURITY_BEARER_TOKEN_H_
#define CHUNKKV_SERVICE_SECURITY_BEARER_TOKEN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "service/format/bytes.h"

namespace chunkkv {

// Longer ones are wrong: no token that a tenant file can name is.
inline constexpr size_t kMaxTokenBytes = 512;

struct BearerToken {
  Bytes32 sha256{};                       // of the token's bytes
  std::optional<int64_t> expires_unix_ms; // unset: never
  std::string audience;                   // the deployment that it is for; empty: any
};

// The token of an `authorization` header ("Bearer TOKEN", the scheme in any case); empty where it holds none.
std::optional<std::string_view> TokenOfHeader(std::string_view authorization);

// SHA-256 of a token that was presented, in a time that does not depend on its length: one above kMaxTokenBytes gets
// the hash of no token.
Bytes32 HashOfPresented(std::string_view token);

// In a time that does not depend on where they differ.
bool EqualInConstantTime(const Bytes32& left, const Bytes32& right);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SECURITY_BEARER_TOKEN_H_
