#include "service/rpc/known_models.h"

#include <vector>

namespace chunkkv::rpc {

const ModelIdentity* KnownModels::Find(const Bytes32& fingerprint) {
  if (fingerprint_ != fingerprint) {
    const std::vector<EntryState> entries = store_.List(tenant_, fingerprint, std::nullopt, 1);
    model_ = entries.empty() ? std::nullopt : entries[0].entry->header().model;
    fingerprint_ = fingerprint;
  }
  return model_ ? &*model_ : nullptr;
}

}  // namespace chunkkv::rpc
