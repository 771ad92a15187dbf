// Finding, describing, pinning and removing entries.
#ifndef CHUNKKV_SERVICE_RPC_CATALOG_RPCS_H_
#define CHUNKKV_SERVICE_RPC_CATALOG_RPCS_H_

#include <string>

#include "absl/status/status.h"
#include "chunkkv/v1/catalog.pb.h"
#include "service/rpc/rpc_context.h"

namespace chunkkv::rpc {

// find_rpc.cc
absl::Status FindLongestPrefix(RpcContext& context, const std::string& tenant,
                               const v1::FindLongestPrefixRequest& request, v1::FindLongestPrefixResponse* response);
// describe_rpcs.cc
absl::Status DescribeCaches(RpcContext& context, const std::string& tenant, const v1::DescribeCachesRequest& request,
                            v1::DescribeCachesResponse* response);
absl::Status ListCaches(RpcContext& context, const std::string& tenant, const v1::ListCachesRequest& request,
                        v1::ListCachesResponse* response);
// pin_rpcs.cc
absl::Status PinCaches(RpcContext& context, const std::string& tenant, const v1::PinCachesRequest& request,
                       v1::PinCachesResponse* response);
absl::Status UnpinCaches(RpcContext& context, const std::string& tenant, const v1::UnpinCachesRequest& request,
                         v1::UnpinCachesResponse* response);
// removal_rpcs.cc
absl::Status DeleteCaches(RpcContext& context, const std::string& tenant, const v1::DeleteCachesRequest& request,
                          v1::DeleteCachesResponse* response);
absl::Status TrimCaches(RpcContext& context, const std::string& tenant, const v1::TrimCachesRequest& request,
                        v1::TrimCachesResponse* response);
// status_rpcs.cc
absl::Status GetCapabilities(RpcContext& context, const std::string& tenant, const v1::GetCapabilitiesRequest& request,
                             v1::GetCapabilitiesResponse* response);
absl::Status GetStats(RpcContext& context, const std::string& tenant, const v1::GetStatsRequest& request,
                      v1::GetStatsResponse* response);

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_CATALOG_RPCS_H_
