// Hash of prompt names for unordered containers. Keys may be chosen by clients, so the hash is seeded per process.
#ifndef CHUNKKV_SERVICE_STORE_PROMPT_NAME_HASH_H_
#define CHUNKKV_SERVICE_STORE_PROMPT_NAME_HASH_H_

#include <utility>

#include "absl/hash/hash.h"
#include "service/store/entry_store.h"

namespace chunkkv {

// What an identity says beside the variant.
inline PromptName PromptOf(const EntryIdentity& identity) {
  return {identity.tenant, identity.fingerprint, identity.shard, identity.key};
}

template <typename H>
H AbslHashValue(H state, const PromptName& name) {
  state = H::combine_contiguous(std::move(state), name.fingerprint.data(), name.fingerprint.size());
  state = H::combine_contiguous(std::move(state), name.key.data(), name.key.size());
  return H::combine(std::move(state), name.tenant, name.shard.tp_rank, name.shard.pp_rank, name.shard.first_layer,
                    name.shard.first_kv_head);
}

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_PROMPT_NAME_HASH_H_
