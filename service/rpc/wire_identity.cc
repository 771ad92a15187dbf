#include "service/rpc/wire_identity.h"

#include <string>
#include <utility>
#include <vector>

#include "chunkkv/kernels/check_spec.h"
#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_spec.h"

namespace chunkkv::rpc {
namespace {

constexpr int32_t kMaxBlockSize = 4096;

template <typename Message>
absl::StatusOr<ModelRef> ModelRefOf(const Message& wire) {
  ModelRef ref;
  switch (wire.model_ref_case()) {
    case Message::kModel:
      ref.model = ModelFromWire(wire.model());
      CHUNKKV_RETURN_IF_ERROR(ValidateModelIdentity(*ref.model));
      ref.fingerprint = Fingerprint(*ref.model);
      return ref;
    case Message::kFingerprint: {
      CHUNKKV_ASSIGN_OR_RETURN(ref.fingerprint,
                               FixedFromWire<32>(wire.fingerprint(), "BAD_FINGERPRINT", "fingerprint"));
      return ref;
    }
    default:
      return InvalidArgument("MODEL_MISSING", "neither model nor fingerprint is set");
  }
}

absl::StatusOr<std::vector<Bytes32>> DigestsFromWire(const v1::PromptKey& wire) {
  std::vector<Bytes32> digests;
  digests.reserve(wire.block_digests_size());
  for (const std::string& digest : wire.block_digests()) {
    CHUNKKV_ASSIGN_OR_RETURN(const Bytes32 fixed,
                             FixedFromWire<32>(digest, "BAD_BLOCK_DIGEST", "prompt.block_digests"));
    digests.push_back(fixed);
  }
  return digests;
}

absl::StatusOr<PromptDigests> DigestsOfTokens(const v1::PromptKey& wire, const std::vector<Bytes32>& given) {
  if (wire.block_size() != 0 && wire.block_size() != kDefaultBlockSize) {
    return InvalidArgument("BAD_BLOCK_SIZE", "prompt.block_size: with tokens only 64 is supported");
  }
  const int64_t token_count = wire.tokens_size();
  const int64_t block_count = (token_count + kDefaultBlockSize - 1) / kDefaultBlockSize;
  if (wire.block_extra_size() != 0 && wire.block_extra_size() != block_count) {
    return InvalidArgument("BAD_BLOCK_EXTRA", "prompt.block_extra: none, or one a block");
  }
  if (wire.token_count() != 0 && wire.token_count() != token_count) {
    return InvalidArgument("BAD_PROMPT_LENGTH", "prompt.token_count differs from the count of tokens");
  }
  const std::vector<std::string> extra(wire.block_extra().begin(), wire.block_extra().end());
  PromptDigests digests = DigestPrompt(absl::MakeConstSpan(wire.tokens().data(), wire.tokens_size()), extra);
  if (!given.empty() && given != digests.digests) {
    return InvalidArgument("KEY_MISMATCH", "prompt.block_digests are not those of the tokens");
  }
  return digests;
}

absl::StatusOr<PromptDigests> DigestsAsGiven(const v1::PromptKey& wire, std::vector<Bytes32> given) {
  PromptDigests digests;
  digests.block_size = wire.block_size() == 0 ? kDefaultBlockSize : wire.block_size();
  if (digests.block_size < 1 || digests.block_size > kMaxBlockSize) {
    return InvalidArgument("BAD_BLOCK_SIZE", "prompt.block_size is not in [1, " + std::to_string(kMaxBlockSize) + "]");
  }
  if (wire.block_extra_size() != 0) {
    return InvalidArgument("BAD_BLOCK_EXTRA", "prompt.block_extra is of use with tokens only");
  }
  const int64_t most = static_cast<int64_t>(given.size()) * digests.block_size;
  digests.token_count = wire.token_count() == 0 ? most : wire.token_count();
  if (digests.token_count > most || digests.token_count <= most - digests.block_size) {
    return InvalidArgument("BAD_PROMPT_LENGTH", "prompt.token_count does not end in the last of the block digests");
  }
  digests.digests = std::move(given);
  return digests;
}

}  // namespace

ModelIdentity ModelFromWire(const v1::ModelIdentity& wire) {
  ModelIdentity model;
  model.name = wire.name();
  model.revision = wire.revision();
  for (const auto& adapter : wire.adapters()) model.adapters.push_back({adapter.name(), adapter.revision()});
  model.kv_dtype = wire.kv_dtype();
  model.quantization = wire.quantization();
  model.rope = wire.rope();
  model.layer_count = wire.layer_count();
  model.kv_head_count = wire.kv_head_count();
  model.key_head_size = wire.key_head_size();
  model.value_head_size = wire.value_head_size();
  model.extra.insert(wire.extra().begin(), wire.extra().end());
  return model;
}

void ToWire(const ModelIdentity& model, v1::ModelIdentity* wire) {
  wire->set_name(model.name);
  wire->set_revision(model.revision);
  for (const auto& adapter : model.adapters) {
    auto* wire_adapter = wire->add_adapters();
    wire_adapter->set_name(adapter.name);
    wire_adapter->set_revision(adapter.revision);
  }
  wire->set_kv_dtype(model.kv_dtype);
  wire->set_quantization(model.quantization);
  wire->set_rope(model.rope);
  wire->set_layer_count(model.layer_count);
  wire->set_kv_head_count(model.kv_head_count);
  wire->set_key_head_size(model.key_head_size);
  wire->set_value_head_size(model.value_head_size);
  wire->mutable_extra()->insert(model.extra.begin(), model.extra.end());
}

Shard ShardFromWire(const v1::Shard& wire) {
  Shard shard;
  shard.tp_rank = wire.tp_rank();
  shard.tp_size = wire.tp_size() == 0 ? 1 : wire.tp_size();
  shard.pp_rank = wire.pp_rank();
  shard.pp_size = wire.pp_size() == 0 ? 1 : wire.pp_size();
  shard.first_layer = wire.first_layer();
  shard.layer_count = wire.layer_count();
  shard.first_kv_head = wire.first_kv_head();
  shard.kv_head_count = wire.kv_head_count();
  return shard;
}

void ToWire(const Shard& shard, v1::Shard* wire) {
  wire->set_tp_rank(shard.tp_rank);
  wire->set_tp_size(shard.tp_size);
  wire->set_pp_rank(shard.pp_rank);
  wire->set_pp_size(shard.pp_size);
  wire->set_first_layer(shard.first_layer);
  wire->set_layer_count(shard.layer_count);
  wire->set_first_kv_head(shard.first_kv_head);
  wire->set_kv_head_count(shard.kv_head_count);
}

absl::StatusOr<Prompt> PromptFromWire(const v1::PromptKey& wire) {
  Prompt prompt;
  std::optional<Bytes32> key;
  if (!wire.key().empty()) {
    CHUNKKV_ASSIGN_OR_RETURN(key, FixedFromWire<32>(wire.key(), "BAD_KEY", "prompt.key"));
  }
  CHUNKKV_ASSIGN_OR_RETURN(std::vector<Bytes32> given, DigestsFromWire(wire));
  if (wire.tokens_size() > 0) {
    CHUNKKV_ASSIGN_OR_RETURN(prompt.digests, DigestsOfTokens(wire, given));
  } else if (!given.empty()) {
    CHUNKKV_ASSIGN_OR_RETURN(prompt.digests, DigestsAsGiven(wire, std::move(given)));
  } else if (!key) {
    return InvalidArgument("KEY_MISSING", "prompt: one of key, tokens and block_digests is needed");
  }
  if (!prompt.digests.digests.empty()) {
    if (key && *key != prompt.digests.digests.back()) {
      return InvalidArgument("KEY_MISMATCH", "prompt.key is not the last digest");
    }
    key = prompt.digests.digests.back();
  }
  prompt.key = *key;
  return prompt;
}

absl::StatusOr<ModelRef> ModelRefFromWire(const v1::GetCacheRequest& wire) { return ModelRefOf(wire); }
absl::StatusOr<ModelRef> ModelRefFromWire(const v1::FindLongestPrefixRequest::Query& wire) { return ModelRefOf(wire); }
absl::StatusOr<ModelRef> ModelRefFromWire(const v1::EntryName& wire) { return ModelRefOf(wire); }
absl::StatusOr<ModelRef> ModelRefFromWire(const v1::RecordScoresRequest& wire) { return ModelRefOf(wire); }

absl::StatusOr<Shard> ResolveWireShard(const v1::Shard* wire, const ModelRef& ref, KnownModels& known) {
  const Shard shard = wire == nullptr ? Shard() : ShardFromWire(*wire);
  if (ref.model) return ResolveShard(shard, *ref.model);
  CHUNKKV_RETURN_IF_ERROR(CheckShard(shard));
  if (shard.layer_count != 0 && shard.kv_head_count != 0) return shard;
  const ModelIdentity* const model = known.Find(ref.fingerprint);
  if (model == nullptr) return shard;
  return ResolveShard(shard, *model);
}

absl::StatusOr<AcceptRule> AcceptFromWire(const v1::Accept& wire) {
  AcceptRule accept;
  switch (wire.rule_case()) {
    case v1::Accept::kExact:
      if (!wire.exact()) return InvalidArgument("ACCEPT_UNSET", "accept.exact is false");
      return accept;
    case v1::Accept::kVariant: {
      CHUNKKV_ASSIGN_OR_RETURN(accept.variant, FixedFromWire<32>(wire.variant(), "BAD_VARIANT", "accept.variant"));
      accept.kind = AcceptRule::Kind::kVariant;
      return accept;
    }
    case v1::Accept::kSpec: {
      CHUNKKV_ASSIGN_OR_RETURN(const CompactionSpec spec, SpecFromWire(wire.spec()));
      CHUNKKV_RETURN_IF_ERROR(CheckSpec(spec));
      accept.kind = AcceptRule::Kind::kVariant;
      accept.variant = VariantOf(spec);
      return accept;
    }
    case v1::Accept::kLeastLossy:
      if (!wire.least_lossy()) return InvalidArgument("ACCEPT_UNSET", "accept.least_lossy is false");
      accept.kind = AcceptRule::Kind::kLeastLossy;
      return accept;
    case v1::Accept::RULE_NOT_SET:
      break;
  }
  return InvalidArgument("ACCEPT_UNSET", "accept: no rule is set");
}

absl::StatusOr<Selector> SelectorFromWire(const v1::EntrySelector& wire, KnownModels& known) {
  Selector selector;
  selector.tenant = known.tenant();
  CHUNKKV_ASSIGN_OR_RETURN(selector.if_entry_id,
                           OptionalFromWire<16>(wire.if_entry_id(), "BAD_ENTRY_ID", "if_entry_id"));
  switch (wire.by_case()) {
    case v1::EntrySelector::kEntryId: {
      CHUNKKV_ASSIGN_OR_RETURN(selector.entry_id, FixedFromWire<16>(wire.entry_id(), "BAD_ENTRY_ID", "entry_id"));
      return selector;
    }
    case v1::EntrySelector::kName: {
      const v1::EntryName& name = wire.name();
      CHUNKKV_ASSIGN_OR_RETURN(const ModelRef ref, ModelRefFromWire(name));
      EntryIdentity identity;
      identity.tenant = known.tenant();
      identity.fingerprint = ref.fingerprint;
      CHUNKKV_ASSIGN_OR_RETURN(identity.shard,
                               ResolveWireShard(name.has_shard() ? &name.shard() : nullptr, ref, known));
      CHUNKKV_ASSIGN_OR_RETURN(identity.key, FixedFromWire<32>(name.key(), "BAD_KEY", "name.key"));
      CHUNKKV_ASSIGN_OR_RETURN(const std::optional<Bytes32> variant,
                               OptionalFromWire<32>(name.variant(), "BAD_VARIANT", "name.variant"));
      identity.variant = variant.value_or(kExactVariant);
      selector.identity = std::move(identity);
      return selector;
    }
    case v1::EntrySelector::BY_NOT_SET:
      break;
  }
  return InvalidArgument("SELECTOR_UNSET", "entries: neither entry_id nor name is set");
}

}  // namespace chunkkv::rpc
