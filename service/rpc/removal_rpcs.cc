#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/rpc/call_checks.h"
#include "service/rpc/catalog_rpcs.h"
#include "service/rpc/grpc_status.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_identity.h"

namespace chunkkv::rpc {
namespace {

absl::Status Delete(EntryStore& store, KnownModels& known, const v1::EntrySelector& wire) {
  CHUNKKV_ASSIGN_OR_RETURN(const Selector selector, SelectorFromWire(wire, known));
  return store.Delete(selector);
}

}  // namespace

absl::Status DeleteCaches(UnaryCall& call, const v1::DeleteCachesRequest& request, v1::DeleteCachesResponse* response) {
  CHUNKKV_RETURN_IF_ERROR(CheckBatch(call.context(), request.entries_size()));
  KnownModels known(call.tenant(), call.store());
  for (const v1::EntrySelector& selector : request.entries()) {
    CHUNKKV_RETURN_IF_ERROR(call.CheckActive());
    ToWire(Delete(call.store(), known, selector), response->add_items());
  }
  return absl::OkStatus();
}

absl::Status TrimCaches(UnaryCall& call, const v1::TrimCachesRequest& request, v1::TrimCachesResponse* response) {
  if (request.older_than_ms() < 0) return InvalidArgument("BAD_AGE", "older_than_ms is negative");
  TrimCondition condition;
  condition.tenant = call.tenant();
  condition.older_than_ms = request.older_than_ms();
  CHUNKKV_ASSIGN_OR_RETURN(condition.fingerprint,
                           OptionalFromWire<32>(request.fingerprint(), "BAD_FINGERPRINT", "fingerprint"));
  if (request.has_prefix()) {
    CHUNKKV_ASSIGN_OR_RETURN(Prompt prefix, PromptFromWire(request.prefix()));
    if (prefix.digests.digests.empty()) {
      return InvalidArgument("DIGESTS_MISSING", "prefix: tokens or block_digests are needed");
    }
    condition.prefix = std::move(prefix.digests.digests);
  }
  if (condition.older_than_ms == 0 && !condition.fingerprint && condition.prefix.empty()) {
    return InvalidArgument("NO_CONDITION", "one of older_than_ms, fingerprint and prefix is needed");
  }
  condition.dry_run = request.dry_run();
  const TrimResult result = call.store().Trim(condition);
  response->set_removed_entries(result.removed_entries);
  response->set_removed_bytes(result.removed_bytes);
  response->set_pinned_entries(result.pinned_entries);
  return absl::OkStatus();
}

}  // namespace chunkkv::rpc
