// The RPCs of chunkkv.v1.KvCacheService, each handed to its file.
#ifndef CHUNKKV_SERVICE_RPC_KV_CACHE_SERVICE_H_
#define CHUNKKV_SERVICE_RPC_KV_CACHE_SERVICE_H_

#include <grpcpp/impl/service_type.h>

#include <memory>

#include "service/rpc/rpc_context.h"

namespace chunkkv::rpc {

// The service works with `context` until every RPC is done.
std::unique_ptr<grpc::Service> MakeKvCacheService(RpcContext& context);

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_KV_CACHE_SERVICE_H_
