#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/rpc/call_checks.h"
#include "service/rpc/catalog_rpcs.h"
#include "service/rpc/grpc_status.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_identity.h"

namespace chunkkv::rpc {
namespace {

absl::Status Pin(RpcContext& context, const std::string& tenant, const v1::EntrySelector& wire, int64_t duration_ms,
                 v1::PinCachesResponse::Item* item) {
  CHUNKKV_ASSIGN_OR_RETURN(const Selector selector, SelectorFromWire(wire, tenant, context.store));
  CHUNKKV_ASSIGN_OR_RETURN(const Lease lease, context.store.Pin(selector, duration_ms));
  item->set_pin_id(ToString(lease.id));
  item->set_expires_unix_ms(lease.expires_unix_ms);
  return absl::OkStatus();
}

absl::Status Unpin(RpcContext& context, const std::string& tenant, const std::string& wire) {
  CHUNKKV_ASSIGN_OR_RETURN(const Bytes16 id, FixedFromWire<16>(wire, "BAD_PIN_ID", "pin_ids"));
  return context.store.Unpin(tenant, id);
}

}  // namespace

absl::Status PinCaches(RpcContext& context, const std::string& tenant, const v1::PinCachesRequest& request,
                       v1::PinCachesResponse* response) {
  CHUNKKV_RETURN_IF_ERROR(CheckBatch(context, request.entries_size()));
  if (request.duration_ms() <= 0) return InvalidArgument("BAD_PIN", "duration_ms is not above 0");
  if (request.duration_ms() > context.store_options.max_pin_ms) {
    return InvalidArgument("PIN_TOO_LONG", "duration_ms is above " + std::to_string(context.store_options.max_pin_ms));
  }
  for (const v1::EntrySelector& selector : request.entries()) {
    v1::PinCachesResponse::Item* const item = response->add_items();
    ToWire(Pin(context, tenant, selector, request.duration_ms(), item), item->mutable_status());
  }
  return absl::OkStatus();
}

absl::Status UnpinCaches(RpcContext& context, const std::string& tenant, const v1::UnpinCachesRequest& request,
                         v1::UnpinCachesResponse* response) {
  CHUNKKV_RETURN_IF_ERROR(CheckBatch(context, request.pin_ids_size()));
  for (const std::string& id : request.pin_ids()) ToWire(Unpin(context, tenant, id), response->add_items());
  return absl::OkStatus();
}

}  // namespace chunkkv::rpc
