#include "service/rpc/region_rpcs.h"

#include <string>
#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/format/identity.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_region.h"

namespace chunkkv::rpc {
namespace {

using Region = v1::RegisterRegionRequest;

absl::Status CheckKind(const Region& request) {
  switch (request.kind()) {
    case Region::SHARED_MEMORY:
      return absl::OkStatus();
    case Region::CUDA_IPC:
    case Region::CUDA_POSIX_DESCRIPTOR:
      return Unimplemented("DEVICE_REGIONS", "kind: device memory is not built");
    default:
      return InvalidArgument("BAD_ENUM", "kind: unset or unknown value " + std::to_string(request.kind()));
  }
}

absl::Status TryUnregister(UnaryCall& call, const v1::UnregisterRegionRequest& request,
                           const std::function<void(const absl::Status&)>& done) {
  LocalTransfers& local = call.context().local;
  CHUNKKV_RETURN_IF_ERROR(local.CheckEnabled());
  CHUNKKV_ASSIGN_OR_RETURN(const Bytes16 id, RegionIdFromWire(request.region_id()));
  return local.regions.Unregister(call.tenant(), id, [done] { done(absl::OkStatus()); });
}

absl::Status CheckTransferId(const std::string& transfer_id) {
  if (transfer_id.empty()) return InvalidArgument("TRANSFER_ID_MISSING", "transfer_id: empty");
  return CheckTransferIdLength(transfer_id);
}

}  // namespace

absl::Status RegisterRegion(UnaryCall& call, const Region& request, v1::RegisterRegionResponse* response) {
  LocalTransfers& local = call.context().local;
  CHUNKKV_RETURN_IF_ERROR(local.CheckEnabled());
  CHUNKKV_RETURN_IF_ERROR(CheckKind(request));
  CHUNKKV_ASSIGN_OR_RETURN(const Bytes32 token, FixedFromWire<32>(request.token(), "BAD_TOKEN", "token"));
  CHUNKKV_RETURN_IF_ERROR(CheckName(request.name(), "name"));
  CHUNKKV_ASSIGN_OR_RETURN(const Bytes16 id,
                           local.regions.Register(call.tenant(), token, request.size_bytes(), request.name()));
  response->set_region_id(ToString(id));
  return absl::OkStatus();
}

absl::Status ListRegions(UnaryCall& call, const v1::ListRegionsRequest&, v1::ListRegionsResponse* response) {
  LocalTransfers& local = call.context().local;
  CHUNKKV_RETURN_IF_ERROR(local.CheckEnabled());
  for (const RegionPtr& region : local.regions.List(call.tenant())) {
    v1::ListRegionsResponse::Region* wire = response->add_regions();
    wire->set_region_id(ToString(region->id));
    wire->set_name(region->name);
    wire->set_kind(Region::SHARED_MEMORY);
    wire->set_size_bytes(region->memory->size_bytes());
    wire->set_active_transfers(region->gate->inside());
  }
  return absl::OkStatus();
}

void UnregisterRegion(UnaryCall& call, const v1::UnregisterRegionRequest& request,
                      std::function<void(const absl::Status&)> done) {
  if (const absl::Status status = TryUnregister(call, request, done); !status.ok()) done(status);
}

void QuiesceTransfer(UnaryCall& call, const v1::QuiesceTransferRequest& request,
                     std::function<void(const absl::Status&)> done) {
  LocalTransfers& local = call.context().local;
  absl::Status status = call.context().channels.status().ok() ? absl::OkStatus() : local.CheckEnabled();
  if (status.ok()) status = CheckTransferId(request.transfer_id());
  if (!status.ok()) return done(status);
  local.transfers.Quiesce(call.tenant(), request.transfer_id(), [done = std::move(done)] { done(absl::OkStatus()); });
}

}  // namespace chunkkv::rpc
