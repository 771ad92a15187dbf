// Model identities, shards, prompts and names between the wire and the domain.
#ifndef CHUNKKV_SERVICE_RPC_WIRE_IDENTITY_H_
#define CHUNKKV_SERVICE_RPC_WIRE_IDENTITY_H_

#include <optional>

#include "absl/status/statusor.h"
#include "chunkkv/v1/catalog.pb.h"
#include "chunkkv/v1/get.pb.h"
#include "chunkkv/v1/identity.pb.h"
#include "chunkkv/v1/scores.pb.h"
#include "service/format/identity.h"
#include "service/format/prompt_key.h"
#include "service/rpc/known_models.h"
#include "service/store/entry_store.h"

namespace chunkkv::rpc {

// Not validated: see ValidateModelIdentity.
ModelIdentity ModelFromWire(const v1::ModelIdentity& wire);
void ToWire(const ModelIdentity& model, v1::ModelIdentity* wire);
// As sent: zeros stay, save that sizes of 0 are 1.
Shard ShardFromWire(const v1::Shard& wire);
void ToWire(const Shard& shard, v1::Shard* wire);

// A prompt as sent, made definite. digests.digests is empty where only a key was given.
struct Prompt {
  Bytes32 key{};
  PromptDigests digests;
};
// Errors: INVALID_ARGUMENT: KEY_MISSING, BAD_KEY (not 32 bytes), KEY_MISMATCH (key, tokens and digests contradict each
// other), BAD_BLOCK_SIZE, BAD_BLOCK_DIGEST, BAD_BLOCK_EXTRA, BAD_PROMPT_LENGTH.
absl::StatusOr<Prompt> PromptFromWire(const v1::PromptKey& wire);

// What a request says of the model: an identity, or its fingerprint alone.
struct ModelRef {
  Bytes32 fingerprint{};
  std::optional<ModelIdentity> model;
};
// For messages with `oneof model_ref`. Errors: INVALID_ARGUMENT: MODEL_MISSING, BAD_FINGERPRINT, and those of
// ValidateModelIdentity.
absl::StatusOr<ModelRef> ModelRefFromWire(const v1::GetCacheRequest& wire);
absl::StatusOr<ModelRef> ModelRefFromWire(const v1::FindLongestPrefixRequest::Query& wire);
absl::StatusOr<ModelRef> ModelRefFromWire(const v1::EntryName& wire);
absl::StatusOr<ModelRef> ModelRefFromWire(const v1::RecordScoresRequest& wire);

// The definite shard of `wire` (null: the whole model). With a fingerprint alone, counts that the request leaves out
// are those of the tenant's entries of that model; where there are none they stay zero, which no entry has.
// Errors: INVALID_ARGUMENT (BAD_SHARD).
absl::StatusOr<Shard> ResolveWireShard(const v1::Shard* wire, const ModelRef& ref, KnownModels& known);

// Errors: INVALID_ARGUMENT: ACCEPT_UNSET, BAD_VARIANT, and those of SpecFromWire.
absl::StatusOr<AcceptRule> AcceptFromWire(const v1::Accept& wire);

// Errors: INVALID_ARGUMENT: SELECTOR_UNSET, BAD_ENTRY_ID, BAD_KEY, BAD_VARIANT, and those of ModelRefFromWire.
absl::StatusOr<Selector> SelectorFromWire(const v1::EntrySelector& wire, KnownModels& known);

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_WIRE_IDENTITY_H_
