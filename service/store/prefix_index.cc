#include "service/store/prefix_index.h"

#include "service/base/check.h"

namespace chunkkv {
namespace {

void Unlink(PrefixNode* node) {
  PrefixNode* const parent = node->parent;
  (node->previous_sibling != nullptr ? node->previous_sibling->next_sibling : parent->first_child) = node->next_sibling;
  (node->next_sibling != nullptr ? node->next_sibling->previous_sibling : parent->last_child) = node->previous_sibling;
  node->previous_sibling = node->next_sibling = nullptr;
}

void LinkFirst(PrefixNode* node) {
  PrefixNode* const parent = node->parent;
  node->next_sibling = parent->first_child;
  (parent->first_child != nullptr ? parent->first_child->previous_sibling : parent->last_child) = node;
  parent->first_child = node;
}

void LinkLast(PrefixNode* node) {
  PrefixNode* const parent = node->parent;
  node->previous_sibling = parent->last_child;
  (parent->last_child != nullptr ? parent->last_child->next_sibling : parent->first_child) = node;
  parent->last_child = node;
}

// Keeps children that serve prefixes before those that do not.
void SetServing(PrefixNode* node, StoredEntry* entry) {
  const bool moves = node->parent != nullptr && (node->serving == nullptr) != (entry == nullptr);
  node->serving = entry;
  if (!moves) return;
  Unlink(node);
  if (entry != nullptr) {
    LinkFirst(node);
  } else {
    LinkLast(node);
  }
}

StoredEntry* AnyServing(const PrefixNode& node) {
  if (node.ends != nullptr) {
    for (StoredEntry* const entry : node.ends->entries) {
      if (entry->serves_prefixes) return entry;
    }
  }
  return node.first_child == nullptr ? nullptr : node.first_child->serving;
}

PrefixNode::Ends& EndsOf(PrefixNode* node) {
  if (node->ends == nullptr) node->ends = std::make_unique<PrefixNode::Ends>();
  return *node->ends;
}

void DropEmptyEnds(PrefixNode* node) {
  if (node->ends != nullptr && node->ends->entries.empty() && node->ends->tails.empty()) node->ends.reset();
}

// The next node of the subtree under `top`, parents before children; null after the last.
const PrefixNode* NextBelow(const PrefixNode* top, const PrefixNode* node) {
  if (node->first_child != nullptr) return node->first_child;
  while (node != top && node->next_sibling == nullptr) node = node->parent;
  return node == top ? nullptr : node->next_sibling;
}

void VisitSubtree(const PrefixNode* top, absl::FunctionRef<void(StoredEntry*)> visit) {
  for (const PrefixNode* node = top; node != nullptr; node = NextBelow(top, node)) {
    if (node->ends == nullptr) continue;
    for (StoredEntry* const entry : node->ends->entries) visit(entry);
  }
}

}  // namespace

void PrefixIndex::Insert(const PrefixScope& scope_name, const PromptPath& path, StoredEntry* entry) {
  CHUNKKV_CHECK(!path.names.empty());
  Scope& scope = scopes_[scope_name];
  if (scope.root == nullptr) {
    scope.id = ++last_scope_id_;
    scope.root = std::make_unique<PrefixNode>();
    scope.root->key.scope = scope.id;
    scope_names_[scope.id] = scope_name;
  }
  PrefixNode* node = scope.root.get();
  for (size_t i = 0; i < path.names.size(); ++i) {
    node = FindOrAddChild(node, {scope.id, i < path.whole_blocks() ? 0 : path.tail_tokens, path.names[i]});
  }
  EndsOf(node).entries.insert(entry);
  entry->prefix_node = node;
  if (!entry->serves_prefixes) return;
  for (; node != nullptr; node = node->parent) SetServing(node, entry);
}

void PrefixIndex::Remove(StoredEntry* entry) {
  PrefixNode* const end = std::exchange(entry->prefix_node, nullptr);
  if (end == nullptr) return;
  end->ends->entries.erase(entry);
  DropEmptyEnds(end);
  for (PrefixNode* node = end; node != nullptr; node = node->parent) {
    if (node->serving == entry) SetServing(node, AnyServing(*node));
  }
  RemoveIfEmpty(end);
}

std::vector<const PrefixNode*> PrefixIndex::Walk(const PrefixScope& scope_name, absl::Span<const Bytes16> names) const {
  std::vector<const PrefixNode*> nodes;
  const auto scope = scopes_.find(scope_name);
  if (scope == scopes_.end()) return nodes;
  nodes.push_back(scope->second.root.get());
  for (const Bytes16& name : names) {
    const PrefixNode* const node = Find({scope->second.id, 0, name});
    if (node == nullptr) break;
    nodes.push_back(node);
  }
  return nodes;
}

const PrefixNode* PrefixIndex::FindTail(const PrefixNode& parent, int32_t tail_tokens, const Bytes16& name) const {
  return Find({parent.key.scope, tail_tokens, name});
}

std::vector<PrefixScope> PrefixIndex::ScopesOf(const std::string& tenant,
                                               const std::optional<Bytes32>& fingerprint) const {
  std::vector<PrefixScope> scopes;
  // Scopes are ordered by tenant first; a Shard{} with the lowest numbers comes before every real one.
  for (auto scope = scopes_.lower_bound({tenant, {}, {INT32_MIN}, INT32_MIN}); scope != scopes_.end(); ++scope) {
    if (scope->first.tenant != tenant) break;
    if (!fingerprint.has_value() || scope->first.fingerprint == *fingerprint) scopes.push_back(scope->first);
  }
  return scopes;
}

void PrefixIndex::VisitBelow(const PrefixScope& scope, absl::Span<const Bytes16> names,
                             absl::FunctionRef<void(StoredEntry*)> visit) const {
  const std::vector<const PrefixNode*> nodes = Walk(scope, names);
  if (nodes.size() == names.size() + 1) {
    VisitSubtree(nodes.back(), visit);
  }
  if (names.empty() || nodes.size() < names.size()) return;
  // The last name may be that of a short block.
  const PrefixNode& parent = *nodes[names.size() - 1];
  if (parent.ends == nullptr) return;
  for (const auto& [tail_tokens, count] : parent.ends->tails) {
    if (const PrefixNode* const tail = FindTail(parent, tail_tokens, names.back())) VisitSubtree(tail, visit);
  }
}

PrefixNode* PrefixIndex::FindOrAddChild(PrefixNode* parent, const PrefixNode::Key& key) {
  std::unique_ptr<PrefixNode>& node = nodes_[key];
  if (node == nullptr) {
    node = std::make_unique<PrefixNode>();
    node->key = key;
    node->parent = parent;
    LinkLast(node.get());
    if (key.tail_tokens > 0) ++EndsOf(parent).tails[key.tail_tokens];
  }
  return node.get();
}

void PrefixIndex::RemoveIfEmpty(PrefixNode* node) {
  while (node->ends == nullptr && node->first_child == nullptr) {
    PrefixNode* const parent = node->parent;
    if (parent == nullptr) {
      const auto scope_name = scope_names_.find(node->key.scope);
      scopes_.erase(scope_name->second);
      scope_names_.erase(scope_name);
      return;
    }
    Unlink(node);
    if (node->key.tail_tokens > 0) {
      auto& tails = parent->ends->tails;
      const auto tail = tails.find(node->key.tail_tokens);
      if (--tail->second == 0) tails.erase(tail);
      DropEmptyEnds(parent);
    }
    nodes_.erase(PrefixNode::Key(node->key));
    node = parent;
  }
}

const PrefixNode* PrefixIndex::Find(const PrefixNode::Key& key) const {
  const auto node = nodes_.find(key);
  return node == nodes_.end() ? nullptr : node->second.get();
}

}  // namespace chunkkv
