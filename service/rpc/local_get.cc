#include "service/rpc/local_get.h"

#include <chrono>
#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/rpc/ended_call.h"
#include "service/rpc/get_request.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_entry.h"
#include "service/rpc/wire_part.h"

namespace chunkkv::rpc {

absl::Status OfferMapping(RpcContext& context, const Caller& caller, const EntryPtr& entry, std::optional<PeerId> peer,
                          v1::Mapping* mapping) {
  if (!context.local.maps_entries) {
    return FailedPrecondition("MAPPING_DISABLED", "target.map: see the server's option --map-entries");
  }
  if (entry->body_descriptor() < 0) {
    return FailedPrecondition("NOT_MAPPABLE", "target.map: this entry's bytes are not in memory of their own");
  }
  CHUNKKV_ASSIGN_OR_RETURN(const Bytes32 token,
                           context.local.mappings.Lease(caller, entry, entry->body_descriptor(), peer));
  mapping->set_token(ToString(token));
  mapping->set_size_bytes(entry->header().BodyBytes());
  for (const TensorSlot& slot : entry->header().tensors) {
    v1::TensorPlace* place = mapping->add_tensors();
    SetTensor(slot.spec, place);
    place->set_offset_bytes(slot.offset);
    place->set_size_bytes(slot.size_bytes);
  }
  return absl::OkStatus();
}

absl::StatusOr<LocalGetReply> LocalGet(RpcContext& context, const Caller& caller, PeerId peer,
                                       const std::string& request_bytes) {
  const auto begun = std::chrono::steady_clock::now();
  if (!context.tenants.StillHolds(caller)) {
    return FailedPrecondition("NOTHING_MAPPED", "the credentials of the mapping fetched last may have changed since");
  }
  const absl::Status use_grpc = Unimplemented("USE_GRPC", "this get takes longer than the local socket has");
  if (context.streams.draining()) return StreamSlots::Draining();
  v1::GetCacheRequest wire;
  if (!wire.ParseFromString(request_bytes)) {
    return InvalidArgument("MALFORMED_MESSAGE", "the body is no GetCacheRequest");
  }
  if (!wire.target().map() || wire.prompt().tokens_size() > 0 || wire.wait_ms() != 0 || !wire.lease_id().empty()) {
    return use_grpc;
  }
  CHUNKKV_ASSIGN_OR_RETURN(const GetRequest request, GetRequestFromWire(wire, caller.tenant, context.limits, context.store));
  // A miss is counted when the client asks again.
  CHUNKKV_ASSIGN_OR_RETURN(const EntryPtr entry,
                           context.store.GetInHost(request.prompt, request.accept, request.if_entry_id));
  if (entry == nullptr) return use_grpc;
  CHUNKKV_ASSIGN_OR_RETURN(const ServedRange range, RangeOf(request, entry->header()));
  v1::GetHeader header;
  ToWire(*entry, range, &header);
  if (header.ByteSizeLong() + (size_t{48} * entry->header().tensors.size()) + 64 > LocalMessage::kMaxBodyBytes) {
    return use_grpc;
  }
  CHUNKKV_RETURN_IF_ERROR(context.tenants.Charge(caller));
  CHUNKKV_RETURN_IF_ERROR(OfferMapping(context, caller, entry, peer, header.mutable_mapping()));
  LocalGetReply reply;
  reply.lease = *FixedFromView<32>(header.mapping().token());
  reply.entry = entry;
  reply.descriptor = entry->body_descriptor();
  reply.header = header.SerializeAsString();
  const std::chrono::duration<double> duration = std::chrono::steady_clock::now() - begun;
  Tell({.rpc = "GetCache", .tenant = caller.tenant, .seconds = duration.count()}, context.metrics);
  return reply;
}

}  // namespace chunkkv::rpc
