// RankReplicas and RoutingKeyOf: who owns a prompt.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "chunkkv/client/routed_client.h"
#include "service/format/prompt_key.h"
#include "service/format/sha256.h"

namespace chunkkv::client {
namespace {

// The first 8 bytes, big-endian, of SHA-256(name || 0x00 || routing key).
uint64_t Score(const std::string& name, std::string_view routing_key) {
  std::string text = name;
  text.push_back('\0');
  text.append(routing_key);
  const Bytes32 digest = Sha256Of(text);
  uint64_t score = 0;
  for (size_t i = 0; i < sizeof score; ++i) score = score << 8 | digest[i];
  return score;
}

}  // namespace

std::vector<std::string> RankReplicas(std::vector<std::string> names, std::string_view routing_key) {
  std::vector<std::pair<uint64_t, std::string>> scored;
  for (std::string& name : names) {
    const uint64_t score = Score(name, routing_key);
    scored.emplace_back(~score, std::move(name));
  }
  std::sort(scored.begin(), scored.end());
  std::vector<std::string> ranked;
  for (auto& [inverse_score, name] : scored) ranked.push_back(std::move(name));
  return ranked;
}

std::string RoutingKeyOf(const Prompt& prompt) {
  if (!prompt.block_digests.empty()) return std::string(AsView(prompt.block_digests.front()));
  if (prompt.tokens.empty()) return prompt.key ? std::string(AsView(*prompt.key)) : "";
  const absl::Span<const uint32_t> tokens(prompt.tokens);
  const std::string_view extra = prompt.block_extra.empty() ? std::string_view() : prompt.block_extra.front();
  return std::string(AsView(NextBlockDigest(nullptr, tokens.subspan(0, kDefaultBlockSize), extra)));
}

}  // namespace chunkkv::client
