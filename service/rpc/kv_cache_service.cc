#include "service/rpc/kv_cache_service.h"

#include <grpcpp/support/server_callback.h>

#include "chunkkv/kernels/status.h"
#include "chunkkv/v1/kv_cache_service.grpc.pb.h"
#include "service/rpc/catalog_rpcs.h"
#include "service/rpc/get_reactor.h"
#include "service/rpc/put_reactor.h"
#include "service/rpc/unary.h"
#include "service/rpc/watch_reactor.h"

namespace chunkkv::rpc {
namespace {

using v1::KvCacheService;

template <typename Base>
using Catalog = KvCacheService::WithCallbackMethod_FindLongestPrefix<KvCacheService::WithCallbackMethod_DescribeCaches<
    KvCacheService::WithCallbackMethod_ListCaches<KvCacheService::WithCallbackMethod_PinCaches<
        KvCacheService::WithCallbackMethod_UnpinCaches<KvCacheService::WithCallbackMethod_DeleteCaches<
            KvCacheService::WithCallbackMethod_TrimCaches<KvCacheService::WithCallbackMethod_GetCapabilities<
                KvCacheService::WithCallbackMethod_GetStats<Base>>>>>>>>>;
template <typename Base>
using Transport = KvCacheService::WithCallbackMethod_RegisterRegion<KvCacheService::WithCallbackMethod_UnregisterRegion<
    KvCacheService::WithCallbackMethod_ListRegions<KvCacheService::WithCallbackMethod_QuiesceTransfer<
        KvCacheService::WithCallbackMethod_OpenChannel<KvCacheService::WithCallbackMethod_CloseChannel<Base>>>>>>;
template <typename Base>
using Streams = KvCacheService::WithRawCallbackMethod_PutCache<
    KvCacheService::WithRawCallbackMethod_GetCache<KvCacheService::WithRawCallbackMethod_WatchCaches<Base>>>;

template <typename Request, typename Response>
absl::Status NoRegions(RpcContext&, const std::string&, const Request&, Response*) {
  return Unimplemented("REGIONS", "regions are not built");
}

template <typename Request, typename Response>
absl::Status NoChannels(RpcContext&, const std::string&, const Request&, Response*) {
  return Unimplemented("NCCL", "channels are not built");
}

class ServiceImpl final : public Streams<Catalog<Transport<KvCacheService::Service>>> {
 public:
  explicit ServiceImpl(RpcContext& context) : context_(context) {}

  using Context = grpc::CallbackServerContext;
  using Unary = grpc::ServerUnaryReactor;

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* PutCache(Context* call) override {
    return PutReactor::Start(context_, call);
  }
  grpc::ServerWriteReactor<grpc::ByteBuffer>* GetCache(Context* call, const grpc::ByteBuffer* request) override {
    return GetReactor::Start(context_, call, request);
  }
  grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchCaches(Context* call, const grpc::ByteBuffer* request) override {
    return WatchReactor::Start(context_, call, request);
  }

  Unary* FindLongestPrefix(Context* call, const v1::FindLongestPrefixRequest* request,
                           v1::FindLongestPrefixResponse* response) override {
    return RunUnary(context_, call, request, response, rpc::FindLongestPrefix);
  }
  Unary* DescribeCaches(Context* call, const v1::DescribeCachesRequest* request,
                        v1::DescribeCachesResponse* response) override {
    return RunUnary(context_, call, request, response, rpc::DescribeCaches);
  }
  Unary* ListCaches(Context* call, const v1::ListCachesRequest* request, v1::ListCachesResponse* response) override {
    return RunUnary(context_, call, request, response, rpc::ListCaches);
  }
  Unary* PinCaches(Context* call, const v1::PinCachesRequest* request, v1::PinCachesResponse* response) override {
    return RunUnary(context_, call, request, response, rpc::PinCaches);
  }
  Unary* UnpinCaches(Context* call, const v1::UnpinCachesRequest* request, v1::UnpinCachesResponse* response) override {
    return RunUnary(context_, call, request, response, rpc::UnpinCaches);
  }
  Unary* DeleteCaches(Context* call, const v1::DeleteCachesRequest* request,
                      v1::DeleteCachesResponse* response) override {
    return RunUnary(context_, call, request, response, rpc::DeleteCaches);
  }
  Unary* TrimCaches(Context* call, const v1::TrimCachesRequest* request, v1::TrimCachesResponse* response) override {
    return RunUnary(context_, call, request, response, rpc::TrimCaches);
  }
  Unary* GetCapabilities(Context* call, const v1::GetCapabilitiesRequest* request,
                         v1::GetCapabilitiesResponse* response) override {
    return RunUnary(context_, call, request, response, rpc::GetCapabilities);
  }
  Unary* GetStats(Context* call, const v1::GetStatsRequest* request, v1::GetStatsResponse* response) override {
    return RunUnary(context_, call, request, response, rpc::GetStats);
  }

  Unary* RegisterRegion(Context* call, const v1::RegisterRegionRequest* request,
                        v1::RegisterRegionResponse* response) override {
    return RunUnary(context_, call, request, response, NoRegions);
  }
  Unary* UnregisterRegion(Context* call, const v1::UnregisterRegionRequest* request,
                          v1::UnregisterRegionResponse* response) override {
    return RunUnary(context_, call, request, response, NoRegions);
  }
  Unary* ListRegions(Context* call, const v1::ListRegionsRequest* request, v1::ListRegionsResponse* response) override {
    return RunUnary(context_, call, request, response, NoRegions);
  }
  Unary* QuiesceTransfer(Context* call, const v1::QuiesceTransferRequest* request,
                         v1::QuiesceTransferResponse* response) override {
    return RunUnary(context_, call, request, response, NoRegions);
  }
  Unary* OpenChannel(Context* call, const v1::OpenChannelRequest* request, v1::OpenChannelResponse* response) override {
    return RunUnary(context_, call, request, response, NoChannels);
  }
  Unary* CloseChannel(Context* call, const v1::CloseChannelRequest* request,
                      v1::CloseChannelResponse* response) override {
    return RunUnary(context_, call, request, response, NoChannels);
  }

 private:
  RpcContext& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeKvCacheService(RpcContext& context) {
  return std::make_unique<ServiceImpl>(context);
}

}  // namespace chunkkv::rpc
