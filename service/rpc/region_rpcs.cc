#include "service/rpc/region_rpcs.h"

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/format/identity.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_region.h"
#include "service/transfer/region/shared_memory.h"

namespace chunkkv::rpc {
namespace {

using Region = v1::RegisterRegionRequest;

absl::StatusOr<RegionKind> KindFromWire(Region::Kind kind) {
  switch (kind) {
    case Region::SHARED_MEMORY:
      return RegionKind::kSharedMemory;
    case Region::CUDA_IPC:
      return RegionKind::kCudaIpc;
    case Region::CUDA_POSIX_DESCRIPTOR:
      return RegionKind::kCudaDescriptors;
    default:
      return InvalidArgument("BAD_ENUM", "kind: unset or unknown value " + std::to_string(kind));
  }
}

Region::Kind ToWire(RegionKind kind) {
  switch (kind) {
    case RegionKind::kSharedMemory:
      return Region::SHARED_MEMORY;
    case RegionKind::kCudaIpc:
      return Region::CUDA_IPC;
    case RegionKind::kCudaDescriptors:
      return Region::CUDA_POSIX_DESCRIPTOR;
  }
  return Region::KIND_UNSPECIFIED;
}

absl::StatusOr<std::vector<Bytes32>> TokensOf(const Region& request) {
  std::vector<Bytes32> tokens;
  const auto add = [&](const std::string& token, const char* field) -> absl::Status {
    CHUNKKV_ASSIGN_OR_RETURN(tokens.emplace_back(), FixedFromWire<32>(token, "BAD_TOKEN", field));
    return absl::OkStatus();
  };
  if (request.kind() != Region::CUDA_POSIX_DESCRIPTOR) {
    CHUNKKV_RETURN_IF_ERROR(add(request.token(), "token"));
    return tokens;
  }
  if (request.segments().empty()) return InvalidArgument("SEGMENTS_MISSING", "segments: none");
  for (const Region::Segment& segment : request.segments()) {
    CHUNKKV_RETURN_IF_ERROR(add(segment.token(), "segments.token"));
  }
  return tokens;
}

absl::StatusOr<std::shared_ptr<PeerMemory>> MapRegion(const LocalTransfers& local, const Region& request,
                                                      std::vector<FileDescriptor> descriptors) {
  if (request.kind() == Region::CUDA_IPC) {
    CHUNKKV_ASSIGN_OR_RETURN(const auto bytes,
                             FixedFromWire<64>(request.cuda_ipc_handle(), "BAD_IPC_HANDLE", "cuda_ipc_handle"));
    IpcHandle handle;
    std::memcpy(handle.data(), bytes.data(), handle.size());
    return local.device->OfHandle(handle, request.cuda_ipc_offset_bytes(), request.size_bytes());
  }
  for (const FileDescriptor& descriptor : descriptors) {
    if (!descriptor.is_open()) return FailedPrecondition("DESCRIPTOR_MISSING", "token: an offer without a descriptor");
  }
  if (request.kind() == Region::SHARED_MEMORY) {
    CHUNKKV_ASSIGN_OR_RETURN(std::shared_ptr<PeerMemory> memory,
                             SharedMemory::Map(std::move(descriptors[0]), request.size_bytes()));
    return memory;
  }
  std::vector<OfferedSegment> segments;
  for (int i = 0; i < request.segments_size(); ++i) {
    segments.push_back({std::move(descriptors[i]), request.segments(i).size_bytes()});
  }
  return local.device->OfSegments(segments, request.segments_offset_bytes(), request.size_bytes());
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
  NewRegion region;
  CHUNKKV_ASSIGN_OR_RETURN(region.kind, KindFromWire(request.kind()));
  if (region.kind != RegionKind::kSharedMemory) CHUNKKV_RETURN_IF_ERROR(local.CheckDevice());
  CHUNKKV_ASSIGN_OR_RETURN(region.tokens, TokensOf(request));
  CHUNKKV_RETURN_IF_ERROR(CheckName(request.name(), "name"));
  region.tenant = call.tenant();
  region.name = request.name();
  CHUNKKV_ASSIGN_OR_RETURN(
      const Bytes16 id,
      local.regions.Register(std::move(region), [&](std::vector<FileDescriptor> descriptors) {
        return MapRegion(local, request, std::move(descriptors));
      }));
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
    wire->set_kind(ToWire(region->kind));
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
