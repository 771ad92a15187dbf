#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/rpc/call_checks.h"
#include "service/rpc/catalog_rpcs.h"
#include "service/rpc/grpc_status.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_identity.h"

namespace chunkkv::rpc {
namespace {

absl::Status Pin(EntryStore& store, KnownModels& known, const v1::EntrySelector& wire, int64_t duration_ms,
                 v1::PinCachesResponse::Item* item) {
  CHUNKKV_ASSIGN_OR_RETURN(const Selector selector, SelectorFromWire(wire, known));
  CHUNKKV_ASSIGN_OR_RETURN(const Lease lease, store.Pin(selector, duration_ms));
  item->set_pin_id(ToString(lease.id));
  item->set_expires_unix_ms(lease.expires_unix_ms);
  return absl::OkStatus();
}

absl::Status Unpin(const UnaryCall& call, const std::string& wire) {
  CHUNKKV_ASSIGN_OR_RETURN(const Bytes16 id, FixedFromWire<16>(wire, "BAD_PIN_ID", "pin_ids"));
  return call.store().Unpin(call.tenant(), id);
}

absl::Status PinEach(const UnaryCall& call, const v1::PinCachesRequest& request, v1::PinCachesResponse* response) {
  KnownModels known(call.tenant(), call.store());
  for (const v1::EntrySelector& selector : request.entries()) {
    CHUNKKV_RETURN_IF_ERROR(call.CheckActive());
    v1::PinCachesResponse::Item* const item = response->add_items();
    ToWire(Pin(call.store(), known, selector, request.duration_ms(), item), item->mutable_status());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status PinCaches(UnaryCall& call, const v1::PinCachesRequest& request, v1::PinCachesResponse* response) {
  CHUNKKV_RETURN_IF_ERROR(CheckBatch(call.context(), request.entries_size()));
  const int64_t max_pin_ms = call.store().MaxPinMs(call.tenant());
  if (request.duration_ms() <= 0) return InvalidArgument("BAD_PIN", "duration_ms is not above 0");
  if (request.duration_ms() > max_pin_ms) {
    return InvalidArgument("PIN_TOO_LONG", "duration_ms is above " + std::to_string(max_pin_ms));
  }
  const absl::Status status = PinEach(call, request, response);
  if (status.ok()) return status;
  // Nobody will learn the ids.
  for (const v1::PinCachesResponse::Item& item : response->items()) {
    if (item.status().code() == 0) Unpin(call, item.pin_id()).IgnoreError();
  }
  return status;
}

absl::Status UnpinCaches(UnaryCall& call, const v1::UnpinCachesRequest& request, v1::UnpinCachesResponse* response) {
  CHUNKKV_RETURN_IF_ERROR(CheckBatch(call.context(), request.pin_ids_size()));
  for (const std::string& id : request.pin_ids()) {
    CHUNKKV_RETURN_IF_ERROR(call.CheckActive());
    ToWire(Unpin(call, id), response->add_items());
  }
  return absl::OkStatus();
}

}  // namespace chunkkv::rpc
