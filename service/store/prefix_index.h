// Prompts as paths of blocks: which entries end where, and which serve any prefix.
//
// A trie for each scope (tenant, model, shard, block size). A node stands for a prompt's beginning in whole blocks; a
// short last block is a leaf beside the whole blocks that could continue there. Nodes have KeyHasher's names only.
// Not thread-safe: the store locks.
#ifndef CHUNKKV_SERVICE_STORE_PREFIX_INDEX_H_
#define CHUNKKV_SERVICE_STORE_PREFIX_INDEX_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "service/format/bytes.h"
#include "service/format/identity.h"
#include "service/store/stored_entry.h"

namespace chunkkv {

struct PrefixScope {
  std::string tenant;
  Bytes32 fingerprint{};
  Shard shard;
  int32_t block_size = 0;
  auto operator<=>(const PrefixScope&) const = default;
};

// A prompt's blocks by name. tail_tokens: of a short last block, whose name is the last one; 0: all are whole.
struct PromptPath {
  std::vector<Bytes16> names;
  int32_t tail_tokens = 0;
  size_t whole_blocks() const { return names.size() - (tail_tokens > 0 ? 1 : 0); }
};

struct PrefixNode {
  struct Key {
    uint32_t scope = 0;
    int32_t tail_tokens = 0;  // 0: a whole block
    Bytes16 name{};
    bool operator==(const Key&) const = default;
    template <typename H>
    friend H AbslHashValue(H state, const Key& key) {
      return H::combine(H::combine_contiguous(std::move(state), key.name.data(), key.name.size()), key.scope,
                        key.tail_tokens);
    }
  };

  // What few nodes have.
  struct Ends {
    absl::flat_hash_set<StoredEntry*> entries;  // whose prompt ends here
    std::map<int32_t, int32_t> tails;           // tokens of a short last block -> such children
  };

  Key key;
  PrefixNode* parent = nullptr;
  // Children with `serving` come first.
  PrefixNode* first_child = nullptr;
  PrefixNode* last_child = nullptr;
  PrefixNode* next_sibling = nullptr;
  PrefixNode* previous_sibling = nullptr;
  StoredEntry* serving = nullptr;  // one that ends here or below and serves any prefix; null: there is none
  std::unique_ptr<Ends> ends;
};

class PrefixIndex {
 public:
  // About what a block takes, for the budget.
  static constexpr int64_t kNodeBytes = 192;

  // `path` has at least one block.
  void Insert(const PrefixScope& scope, const PromptPath& path, StoredEntry* entry);
  void Remove(StoredEntry* entry);

  // Nodes of the whole blocks `names`, as far as they are there; the root first. Empty for a scope without entries.
  std::vector<const PrefixNode*> Walk(const PrefixScope& scope, absl::Span<const Bytes16> names) const;
  // Null where there is none.
  const PrefixNode* FindTail(const PrefixNode& parent, int32_t tail_tokens, const Bytes16& name) const;

  // Scopes of a tenant, those of one model where `fingerprint` is given.
  std::vector<PrefixScope> ScopesOf(const std::string& tenant, const std::optional<Bytes32>& fingerprint) const;
  // Every entry whose prompt begins with the whole or short blocks `names`.
  void VisitBelow(const PrefixScope& scope, absl::Span<const Bytes16> names,
                  absl::FunctionRef<void(StoredEntry*)> visit) const;

 private:
  struct Scope {
    uint32_t id = 0;
    std::unique_ptr<PrefixNode> root;
  };

  PrefixNode* FindOrAddChild(PrefixNode* parent, const PrefixNode::Key& key);
  // Also its parents where nothing is left of them, and the scope.
  void RemoveIfEmpty(PrefixNode* node);
  const PrefixNode* Find(const PrefixNode::Key& key) const;

  std::map<PrefixScope, Scope> scopes_;
  absl::flat_hash_map<uint32_t, PrefixScope> scope_names_;
  absl::flat_hash_map<PrefixNode::Key, std::unique_ptr<PrefixNode>> nodes_;  // all but roots
  uint32_t last_scope_id_ = 0;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_PREFIX_INDEX_H_
