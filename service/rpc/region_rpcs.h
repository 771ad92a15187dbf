// Lending memory to the server, taking it back, and waiting until nothing touches it.
#ifndef CHUNKKV_SERVICE_RPC_REGION_RPCS_H_
#define CHUNKKV_SERVICE_RPC_REGION_RPCS_H_

#include <functional>

#include "absl/status/status.h"
#include "chunkkv/v1/transport.pb.h"
#include "service/rpc/unary_call.h"

namespace chunkkv::rpc {

absl::Status RegisterRegion(UnaryCall& call, const v1::RegisterRegionRequest& request,
                            v1::RegisterRegionResponse* response);
absl::Status ListRegions(UnaryCall& call, const v1::ListRegionsRequest& request, v1::ListRegionsResponse* response);
// `done` may be called later, by another thread.
void UnregisterRegion(UnaryCall& call, const v1::UnregisterRegionRequest& request,
                      std::function<void(const absl::Status&)> done);
void QuiesceTransfer(UnaryCall& call, const v1::QuiesceTransferRequest& request,
                     std::function<void(const absl::Status&)> done);

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_REGION_RPCS_H_
