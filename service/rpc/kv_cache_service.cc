#include "service/rpc/kv_cache_service.h"

#include <grpcpp/support/server_callback.h>

#include "chunkkv/v1/kv_cache_service.grpc.pb.h"
#include "service/rpc/catalog_rpcs.h"
#include "service/rpc/channel_rpcs.h"
#include "service/rpc/get_reactor.h"
#include "service/rpc/hold_stream.h"
#include "service/rpc/put_reactor.h"
#include "service/rpc/record_stream.h"
#include "service/rpc/region_rpcs.h"
#include "service/rpc/unary.h"
#include "service/rpc/watch_stream.h"

namespace chunkkv::rpc {
namespace {

using v1::KvCacheService;

template <typename Base>
using Catalog =
    KvCacheService::WithRawCallbackMethod_FindLongestPrefix<KvCacheService::WithRawCallbackMethod_DescribeCaches<
        KvCacheService::WithRawCallbackMethod_ListCaches<KvCacheService::WithRawCallbackMethod_PinCaches<
            KvCacheService::WithRawCallbackMethod_UnpinCaches<KvCacheService::WithRawCallbackMethod_DeleteCaches<
                KvCacheService::WithRawCallbackMethod_TrimCaches<KvCacheService::WithRawCallbackMethod_GetCapabilities<
                    KvCacheService::WithRawCallbackMethod_GetStats<Base>>>>>>>>>;
template <typename Base>
using Transport = KvCacheService::WithRawCallbackMethod_RegisterRegion<
    KvCacheService::WithRawCallbackMethod_UnregisterRegion<KvCacheService::WithRawCallbackMethod_ListRegions<
        KvCacheService::WithRawCallbackMethod_QuiesceTransfer<KvCacheService::WithRawCallbackMethod_OpenChannel<
            KvCacheService::WithRawCallbackMethod_CloseChannel<Base>>>>>>;
template <typename Base>
using Streams = KvCacheService::WithRawCallbackMethod_PutCache<KvCacheService::WithRawCallbackMethod_GetCache<
    KvCacheService::WithRawCallbackMethod_WatchCaches<KvCacheService::WithRawCallbackMethod_RecordScores<
        KvCacheService::WithRawCallbackMethod_HoldChannels<Base>>>>>;

class ServiceImpl final : public Streams<Catalog<Transport<KvCacheService::Service>>> {
 public:
  explicit ServiceImpl(RpcContext& context) : context_(context) {}

  using Bytes = grpc::ByteBuffer;
  using Context = grpc::CallbackServerContext;
  using Unary = grpc::ServerUnaryReactor;

  grpc::ServerBidiReactor<Bytes, Bytes>* PutCache(Context* call) override { return PutReactor::Start(context_, call); }
  grpc::ServerWriteReactor<Bytes>* GetCache(Context* call, const Bytes* request) override {
    return GetReactor::Start(context_, call, request);
  }
  grpc::ServerWriteReactor<Bytes>* WatchCaches(Context* call, const Bytes* request) override {
    return EventStream::Start(std::make_shared<WatchStream>(context_, call), request);
  }
  grpc::ServerWriteReactor<Bytes>* RecordScores(Context* call, const Bytes* request) override {
    return EventStream::Start(std::make_shared<RecordStream>(context_, call), request);
  }

  Unary* FindLongestPrefix(Context* call, const Bytes* request, Bytes* response) override {
    return RunUnary(context_, call, "FindLongestPrefix", request, response, rpc::FindLongestPrefix);
  }
  Unary* DescribeCaches(Context* call, const Bytes* request, Bytes* response) override {
    return RunUnary(context_, call, "DescribeCaches", request, response, rpc::DescribeCaches);
  }
  Unary* ListCaches(Context* call, const Bytes* request, Bytes* response) override {
    return RunUnary(context_, call, "ListCaches", request, response, rpc::ListCaches);
  }
  Unary* PinCaches(Context* call, const Bytes* request, Bytes* response) override {
    return RunUnary(context_, call, "PinCaches", request, response, rpc::PinCaches);
  }
  Unary* UnpinCaches(Context* call, const Bytes* request, Bytes* response) override {
    return RunUnary(context_, call, "UnpinCaches", request, response, rpc::UnpinCaches);
  }
  Unary* DeleteCaches(Context* call, const Bytes* request, Bytes* response) override {
    return RunUnary(context_, call, "DeleteCaches", request, response, rpc::DeleteCaches);
  }
  Unary* TrimCaches(Context* call, const Bytes* request, Bytes* response) override {
    return RunUnary(context_, call, "TrimCaches", request, response, rpc::TrimCaches);
  }
  Unary* GetCapabilities(Context* call, const Bytes* request, Bytes* response) override {
    return RunUnary(context_, call, "GetCapabilities", request, response, rpc::GetCapabilities);
  }
  Unary* GetStats(Context* call, const Bytes* request, Bytes* response) override {
    return RunUnary(context_, call, "GetStats", request, response, rpc::GetStats);
  }

  Unary* RegisterRegion(Context* call, const Bytes* request, Bytes* response) override {
    return RunUnary(context_, call, "RegisterRegion", request, response, rpc::RegisterRegion);
  }
  Unary* UnregisterRegion(Context* call, const Bytes* request, Bytes* response) override {
    return RunDeferred(context_, call, "UnregisterRegion", request, response, rpc::UnregisterRegion);
  }
  Unary* ListRegions(Context* call, const Bytes* request, Bytes* response) override {
    return RunUnary(context_, call, "ListRegions", request, response, rpc::ListRegions);
  }
  Unary* QuiesceTransfer(Context* call, const Bytes* request, Bytes* response) override {
    return RunDeferred(context_, call, "QuiesceTransfer", request, response, rpc::QuiesceTransfer);
  }
  grpc::ServerWriteReactor<Bytes>* HoldChannels(Context* call, const Bytes* request) override {
    return EventStream::Start(std::make_shared<HoldStream>(context_, call), request);
  }
  Unary* OpenChannel(Context* call, const Bytes* request, Bytes* response) override {
    return RunUnary(context_, call, "OpenChannel", request, response, rpc::OpenChannel);
  }
  Unary* CloseChannel(Context* call, const Bytes* request, Bytes* response) override {
    return RunUnary(context_, call, "CloseChannel", request, response, rpc::CloseChannel);
  }

 private:
  RpcContext& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeKvCacheService(RpcContext& context) {
  return std::make_unique<ServiceImpl>(context);
}

}  // namespace chunkkv::rpc
