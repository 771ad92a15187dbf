// Which entries serve the longest beginning of a prompt, over all the shards that are asked for.
#ifndef CHUNKKV_SERVICE_STORE_PREFIX_LOOKUP_H_
#define CHUNKKV_SERVICE_STORE_PREFIX_LOOKUP_H_

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "service/store/entry_store.h"
#include "service/store/key_hasher.h"
#include "service/store/prefix_index.h"

namespace chunkkv {

struct PrefixCandidate {
  int64_t covered_tokens = 0;
  std::vector<StoredEntry*> entries;  // one a scope
};

// A lookup in steps, so that hashing goes on outside the store's lock: names are computed as far as the index knows
// them, then the short last blocks that could match, then the choice is made.
class PrefixLookup {
 public:
  // `query` and `hasher` must outlive this. The query is consistent: token_count lies in its last block.
  PrefixLookup(const PrefixQuery& query, const KeyHasher& hasher);

  // Without the lock: names of some more blocks. False where there are no more.
  bool ExtendNames();
  // Under the lock: whether every scope knows all blocks named so far.
  bool IsWhollyKnown(const PrefixIndex& index) const;
  // Under the lock: short last blocks of stored prompts that fit this prompt's length.
  void CollectTails(const PrefixIndex& index);
  // Without the lock.
  void NameTails();
  // Under the lock. Of a set of entries that covers the most tokens, the least lossy.
  std::optional<PrefixCandidate> Choose(const PrefixIndex& index) const;

 private:
  using Nodes = absl::Span<const PrefixNode* const>;  // one a scope, none null

  size_t whole_blocks() const;
  bool Admits(const StoredEntry& entry) const;
  std::optional<PrefixCandidate> ChooseAt(Nodes nodes, int64_t covered_tokens) const;
  std::vector<StoredEntry*> ChooseOfWholePrompts(Nodes nodes) const;

  const PrefixQuery& query_;
  const KeyHasher& hasher_;
  std::vector<PrefixScope> scopes_;
  std::vector<Bytes16> names_;
  // (whole blocks before it, tokens of the short block) -> its name
  std::map<std::pair<size_t, int32_t>, Bytes16> tails_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_PREFIX_LOOKUP_H_
