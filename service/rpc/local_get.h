// Gets of entries that the client maps.
#ifndef CHUNKKV_SERVICE_RPC_LOCAL_GET_H_
#define CHUNKKV_SERVICE_RPC_LOCAL_GET_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "chunkkv/v1/get.pb.h"
#include "service/rpc/rpc_context.h"
#include "service/store/entry.h"
#include "service/transfer/region/local_socket.h"

namespace chunkkv::rpc {

// Leases the entry to whoever has the token, or to `peer`, who gets the descriptor at once. Errors: FAILED_PRECONDITION
// MAPPING_DISABLED, NOT_MAPPABLE; RESOURCE_EXHAUSTED TOO_MANY_MAPPINGS.
absl::Status OfferMapping(RpcContext& context, const Caller& caller, const EntryPtr& entry, std::optional<PeerId> peer,
                          v1::Mapping* mapping);

// A GetCacheRequest with target.map that came on the local socket. What would take time is refused: the client asks
// again over gRPC, as it does after any error, to learn more of it. What is served is charged and told as a call is; of
// the rest gRPC's call will be. Errors: as GetCache, UNIMPLEMENTED USE_GRPC (tokens instead of a key, a wait, a header
// above LocalMessage::kMaxBodyBytes), and FAILED_PRECONDITION NOTHING_MAPPED: the caller must show its credentials again.
absl::StatusOr<LocalGetReply> LocalGet(RpcContext& context, const Caller& caller, PeerId peer,
                                       const std::string& request);

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_LOCAL_GET_H_
