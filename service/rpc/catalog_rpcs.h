// Finding, describing, pinning and removing entries.
#ifndef CHUNKKV_SERVICE_RPC_CATALOG_RPCS_H_
#define CHUNKKV_SERVICE_RPC_CATALOG_RPCS_H_

#include <string>

#include "absl/status/status.h"
#include "chunkkv/v1/catalog.pb.h"
#include "service/rpc/unary_call.h"

namespace chunkkv::rpc {

// find_rpc.cc
absl::Status FindLongestPrefix(UnaryCall& call, const v1::FindLongestPrefixRequest& request,
                               v1::FindLongestPrefixResponse* response);
// describe_rpcs.cc
absl::Status DescribeCaches(UnaryCall& call, const v1::DescribeCachesRequest& request,
                            v1::DescribeCachesResponse* response);
absl::Status ListCaches(UnaryCall& call, const v1::ListCachesRequest& request, v1::ListCachesResponse* response);
// pin_rpcs.cc
absl::Status PinCaches(UnaryCall& call, const v1::PinCachesRequest& request, v1::PinCachesResponse* response);
absl::Status UnpinCaches(UnaryCall& call, const v1::UnpinCachesRequest& request, v1::UnpinCachesResponse* response);
// removal_rpcs.cc
absl::Status DeleteCaches(UnaryCall& call, const v1::DeleteCachesRequest& request, v1::DeleteCachesResponse* response);
absl::Status TrimCaches(UnaryCall& call, const v1::TrimCachesRequest& request, v1::TrimCachesResponse* response);
// status_rpcs.cc
absl::Status GetCapabilities(UnaryCall& call, const v1::GetCapabilitiesRequest& request,
                             v1::GetCapabilitiesResponse* response);
absl::Status GetStats(UnaryCall& call, const v1::GetStatsRequest& request, v1::GetStatsResponse* response);

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_CATALOG_RPCS_H_
