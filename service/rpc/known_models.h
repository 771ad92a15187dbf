// Models that requests name by a fingerprint alone.
#ifndef CHUNKKV_SERVICE_RPC_KNOWN_MODELS_H_
#define CHUNKKV_SERVICE_RPC_KNOWN_MODELS_H_

#include <optional>
#include <string>

#include "service/format/identity.h"
#include "service/store/entry_store.h"

namespace chunkkv::rpc {

// What the tenant's entries tell of a model. Finding one walks over the entries, so the last one found is kept: make
// one of these for each request. Not thread-safe.
class KnownModels {
 public:
  KnownModels(std::string tenant, EntryStore& store) : tenant_(std::move(tenant)), store_(store) {}

  const std::string& tenant() const { return tenant_; }
  // Null where the tenant has no entry of it, or one that does not tell. Valid until the next call.
  const ModelIdentity* Find(const Bytes32& fingerprint);

 private:
  const std::string tenant_;
  EntryStore& store_;
  std::optional<Bytes32> fingerprint_;
  std::optional<ModelIdentity> model_;
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_KNOWN_MODELS_H_
