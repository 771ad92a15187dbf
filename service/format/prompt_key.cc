#include "service/format/prompt_key.h"

#include "service/format/sha256.h"

namespace chunkkv {
namespace {

Bytes32 DigestBlock(Sha256& sha256, const Bytes32* previous, absl::Span<const uint32_t> tokens,
                    std::string_view extra) {
  if (previous != nullptr) sha256.Update(AsView(*previous));
  sha256.Update({reinterpret_cast<const char*>(tokens.data()), tokens.size() * sizeof(uint32_t)});
  sha256.Update(extra);
  return sha256.Finish();
}

}  // namespace

Bytes32 NextBlockDigest(const Bytes32* previous, absl::Span<const uint32_t> tokens, std::string_view extra) {
  Sha256 sha256;
  return DigestBlock(sha256, previous, tokens, extra);
}

PromptDigests DigestPrompt(absl::Span<const uint32_t> tokens, absl::Span<const std::string> extra) {
  PromptDigests prompt;
  prompt.token_count = static_cast<int64_t>(tokens.size());
  const size_t block_count = (tokens.size() + kDefaultBlockSize - 1) / kDefaultBlockSize;
  prompt.digests.reserve(block_count);
  Sha256 sha256;
  for (size_t block = 0; block < block_count; ++block) {
    const Bytes32* previous = block == 0 ? nullptr : &prompt.digests.back();
    const std::string_view block_extra = block < extra.size() ? std::string_view(extra[block]) : std::string_view();
    prompt.digests.push_back(
        DigestBlock(sha256, previous, tokens.subspan(block * kDefaultBlockSize, kDefaultBlockSize), block_extra));
  }
  return prompt;
}

}  // namespace chunkkv
