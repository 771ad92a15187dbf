// Names of prompts: a chain of block digests whose last one is the key.
//   digest[i] = SHA-256(digest[i-1] || tokens of block i as little-endian uint32 || extra[i])
#ifndef CHUNKKV_SERVICE_FORMAT_PROMPT_KEY_H_
#define CHUNKKV_SERVICE_FORMAT_PROMPT_KEY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "service/format/bytes.h"

namespace chunkkv {

inline constexpr int32_t kDefaultBlockSize = 64;

struct PromptDigests {
  int32_t block_size = kDefaultBlockSize;
  int64_t token_count = 0;       // tokens covered; the last block may be short
  std::vector<Bytes32> digests;  // empty where only a key is known: no prefix can be found
};

// Digest of the next block. `previous` is null for the first.
Bytes32 NextBlockDigest(const Bytes32* previous, absl::Span<const uint32_t> tokens, std::string_view extra);

// `extra` is empty, or has one string a block. At least one token.
PromptDigests DigestPrompt(absl::Span<const uint32_t> tokens, absl::Span<const std::string> extra);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_FORMAT_PROMPT_KEY_H_
