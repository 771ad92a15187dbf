#include "tests/support/test_entry.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "service/base/check.h"
#include "service/format/digest.h"

namespace chunkkv {
namespace {

ModelIdentity ModelNamed(const std::string& name, const Shard& shard, int32_t head_size) {
  ModelIdentity model;
  model.name = name;
  model.revision = "first";
  model.kv_dtype = "f32";
  model.layer_count = shard.first_layer + shard.layer_count;
  model.kv_head_count = shard.first_kv_head + shard.kv_head_count;
  model.key_head_size = model.value_head_size = head_size;
  return model;
}

Layout LayoutOf(const EntryRecipe& recipe) {
  LayerRun run;
  run.layer_count = recipe.shard.layer_count;
  run.attention = AttentionRun();
  run.attention->query_head_count = run.attention->kv_head_count = recipe.shard.kv_head_count;
  run.attention->key_head_size = run.attention->value_head_size = recipe.head_size;
  Layout layout = {run};
  if (recipe.verbatim_layer) {
    LayerRun verbatim;
    verbatim.first_layer = run.layer_count;
    verbatim.layer_count = 1;
    verbatim.named_tensors = {{"state", 64}};
    layout.push_back(verbatim);
  }
  return layout;
}

}  // namespace

std::vector<uint32_t> CountingTokens(int64_t token_count, uint32_t first) {
  std::vector<uint32_t> tokens(static_cast<size_t>(token_count));
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

Shard TestShard(int32_t layer_count) {
  Shard shard;
  shard.layer_count = layer_count;
  shard.kv_head_count = 2;
  return shard;
}

MadeEntry MakeEntry(const EntryRecipe& recipe) {
  MadeEntry made;
  const PromptDigests prompt = DigestPrompt(recipe.tokens, {});
  EntryHeader& header = made.header;
  header.model = ModelNamed(recipe.model, recipe.shard, recipe.head_size);
  header.layout = LayoutOf(recipe);
  header.token_count = header.next_position = prompt.token_count;
  header.spec.policy = recipe.keep_ratio.has_value() ? Policy::kChunkKv : Policy::kFull;
  header.spec.keep_ratio = recipe.keep_ratio;
  const bool is_full = !recipe.keep_ratio.has_value() || recipe.kept_full;
  header.outcome.policy_applied = is_full ? Policy::kFull : Policy::kChunkKv;
  header.outcome.kept_full_for_mass = recipe.kept_full;
  header.outcome.budget =
      is_full ? prompt.token_count
              : static_cast<int64_t>(std::floor(*recipe.keep_ratio * static_cast<double>(prompt.token_count) + 0.5));
  if (recipe.retained_mass.has_value()) header.outcome.retained_mass = {{0, *recipe.retained_mass}};
  header.groups = {{0, recipe.shard.layer_count, -1}};
  header.row_counts = {header.outcome.budget};
  header.positions.resize(1);
  int64_t positions_bytes = 0;
  if (header.outcome.budget < prompt.token_count) {
    header.positions[0].resize(static_cast<size_t>(header.outcome.budget));
    std::iota(header.positions[0].begin(), header.positions[0].end(), 0);
    positions_bytes = header.outcome.budget * int64_t{sizeof(int32_t)};
  }
  auto slots = LayOutBody(header.layout, header.groups, header.row_counts, positions_bytes);
  CHUNKKV_CHECK(slots.ok());
  header.tensors = *std::move(slots);
  made.body.resize(static_cast<size_t>(header.BodyBytes()));
  if (positions_bytes > 0) {
    std::memcpy(made.body.data(), header.positions[0].data(), static_cast<size_t>(positions_bytes));
  }
  for (size_t i = static_cast<size_t>(positions_bytes); i < made.body.size(); ++i) {
    made.body[i] = static_cast<std::byte>(i * 31 + recipe.fill);
  }
  for (TensorSlot& slot : header.tensors) {
    slot.digest = DigestTensor(
        absl::MakeConstSpan(made.body).subspan(static_cast<size_t>(slot.offset), static_cast<size_t>(slot.size_bytes)));
  }
  header.entry_digest = EntryDigest(header.tensors);
  header.expires_unix_ms = recipe.expires_unix_ms;
  if (recipe.with_digests) header.block_digests = prompt.digests;

  made.identity.tenant = recipe.tenant;
  made.identity.fingerprint = Fingerprint(*header.model);
  made.identity.shard = recipe.shard;
  made.identity.key = prompt.digests.back();
  made.identity.variant = header.variant = VariantOf(header.spec);
  return made;
}

absl::StatusOr<CommitResult> PutEntry(EntryStore& store, const MadeEntry& made, const CommitOptions& options) {
  const EntryStore::PutToken token = store.BeginPut(made.identity);
  const auto size_bytes = static_cast<int64_t>(made.body.size());
  absl::StatusOr<BudgetShare> share = store.Reserve(Buffer::ChargedBytes(size_bytes));
  absl::StatusOr<Buffer> body = share.ok() ? Buffer::Allocate(size_bytes, *std::move(share)) : share.status();
  if (!body.ok()) {
    store.EndPut(token);
    return body.status();
  }
  std::copy(made.body.begin(), made.body.end(), body->data());
  return store.Commit(token, made.identity, made.header, *std::move(body), options);
}

absl::StatusOr<CommitResult> PutEntry(EntryStore& store, const EntryRecipe& recipe, const CommitOptions& options) {
  return PutEntry(store, MakeEntry(recipe), options);
}

PromptName PromptNameOf(const EntryIdentity& identity) {
  return {identity.tenant, identity.fingerprint, identity.shard, identity.key};
}

Selector SelectorOf(const EntryPtr& entry) {
  Selector selector;
  selector.tenant = entry->identity().tenant;
  selector.entry_id = entry->header().entry_id;
  return selector;
}

}  // namespace chunkkv
