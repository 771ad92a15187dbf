#include "service/store/prefix_lookup.h"

#include <algorithm>

#include "service/format/prompt_key.h"
#include "service/store/accept_rule.h"

namespace chunkkv {
namespace {

constexpr size_t kFirstNames = 32;

}  // namespace

PrefixLookup::PrefixLookup(const PrefixQuery& query, const KeyHasher& hasher) : query_(query), hasher_(hasher) {
  for (const Shard& shard : query.shards) {
    scopes_.push_back({query.tenant, query.fingerprint, shard, query.prompt.block_size});
  }
}

size_t PrefixLookup::whole_blocks() const {
  return static_cast<size_t>(query_.prompt.token_count / query_.prompt.block_size);
}

bool PrefixLookup::ExtendNames() {
  if (names_.size() >= whole_blocks()) return false;
  const size_t count = std::min(whole_blocks(), std::max(kFirstNames, 2 * names_.size()));
  hasher_.ExtendNames(query_.prompt.digests, count, &names_);
  return true;
}

bool PrefixLookup::IsWhollyKnown(const PrefixIndex& index) const {
  return std::all_of(scopes_.begin(), scopes_.end(),
                     [&](const PrefixScope& scope) { return index.Walk(scope, names_).size() == names_.size() + 1; });
}

void PrefixLookup::CollectTails(const PrefixIndex& index) {
  for (const PrefixScope& scope : scopes_) {
    const std::vector<const PrefixNode*> nodes = index.Walk(scope, names_);
    for (size_t depth = 0; depth < nodes.size(); ++depth) {
      if (nodes[depth]->ends == nullptr) continue;
      const int64_t left_tokens = query_.prompt.token_count - static_cast<int64_t>(depth) * query_.prompt.block_size;
      for (const auto& [tail_tokens, count] : nodes[depth]->ends->tails) {
        if (tail_tokens <= left_tokens) tails_[{depth, tail_tokens}];
      }
    }
  }
}

void PrefixLookup::NameTails() {
  const PromptDigests& prompt = query_.prompt;
  const auto block_size = static_cast<size_t>(prompt.block_size);
  for (auto tail = tails_.begin(); tail != tails_.end();) {
    const auto [depth, tail_tokens] = tail->first;
    Bytes32 digest;
    if (depth == whole_blocks() && tail_tokens == prompt.token_count % prompt.block_size) {
      digest = prompt.digests[depth];
    } else if (!query_.tokens.empty()) {
      const absl::Span<const uint32_t> tokens =
          query_.tokens.subspan(depth * block_size, static_cast<size_t>(tail_tokens));
      digest = NextBlockDigest(depth == 0 ? nullptr : &prompt.digests[depth - 1], tokens,
                               depth < query_.extra.size() ? query_.extra[depth] : std::string());
    } else {
      tail = tails_.erase(tail);  // digests alone say nothing of a part of a block
      continue;
    }
    tail->second = hasher_.NextName(depth == 0 ? Bytes16{} : names_[depth - 1], digest);
    ++tail;
  }
}

std::optional<PrefixCandidate> PrefixLookup::Choose(const PrefixIndex& index) const {
  std::vector<std::vector<const PrefixNode*>> walks;
  size_t depth = names_.size();
  for (const PrefixScope& scope : scopes_) {
    walks.push_back(index.Walk(scope, names_));
    if (walks.back().empty()) return std::nullopt;
    depth = std::min(depth, walks.back().size() - 1);
  }
  std::vector<const PrefixNode*> nodes(scopes_.size());
  auto tail = tails_.rbegin();
  for (;; --depth) {
    const int64_t whole_tokens = static_cast<int64_t>(depth) * query_.prompt.block_size;
    while (tail != tails_.rend() && tail->first.first > depth) ++tail;
    for (; tail != tails_.rend() && tail->first.first == depth; ++tail) {
      const auto [place, name] = *tail;
      std::transform(walks.begin(), walks.end(), nodes.begin(), [&, &name = name, &place = place](const auto& walk) {
        return index.FindTail(*walk[depth], place.second, name);
      });
      if (auto found = ChooseAt(nodes, whole_tokens + place.second)) return found;
    }
    if (depth == 0) return std::nullopt;
    std::transform(walks.begin(), walks.end(), nodes.begin(), [&](const auto& walk) { return walk[depth]; });
    if (auto found = ChooseAt(nodes, whole_tokens)) return found;
  }
}

bool PrefixLookup::Admits(const StoredEntry& entry) const {
  return !query_.accept.has_value() || Accepts(*query_.accept, entry.header());
}

std::optional<PrefixCandidate> PrefixLookup::ChooseAt(Nodes nodes, int64_t covered_tokens) const {
  if (std::count(nodes.begin(), nodes.end(), nullptr) > 0) return std::nullopt;
  PrefixCandidate candidate{covered_tokens, {}};
  const bool all_serve = std::all_of(nodes.begin(), nodes.end(), [&](const PrefixNode* node) {
    return node->serving != nullptr && Admits(*node->serving);
  });
  if (all_serve) {
    for (const PrefixNode* const node : nodes) candidate.entries.push_back(node->serving);
  } else {
    candidate.entries = ChooseOfWholePrompts(nodes);
  }
  if (candidate.entries.empty()) return std::nullopt;
  return candidate;
}

// Entries whose whole prompt ends at these nodes: of one key and variant over all shards.
std::vector<StoredEntry*> PrefixLookup::ChooseOfWholePrompts(Nodes nodes) const {
  std::vector<StoredEntry*> best;
  if (nodes.front()->ends == nullptr) return best;
  for (StoredEntry* const first : nodes.front()->ends->entries) {
    if (!Admits(*first) || (!best.empty() && !IsLessLossy(first->header(), best.front()->header()))) continue;
    std::vector<StoredEntry*> entries = {first};
    for (const PrefixNode* const node : nodes.subspan(1)) {
      if (node->ends == nullptr) break;
      const auto& ends = node->ends->entries;
      const auto same = std::find_if(ends.begin(), ends.end(), [&](const StoredEntry* entry) {
        return entry->identity().key == first->identity().key && entry->identity().variant == first->identity().variant;
      });
      if (same == ends.end()) break;
      entries.push_back(*same);
    }
    if (entries.size() == nodes.size()) best = std::move(entries);
  }
  return best;
}

}  // namespace chunkkv
