// Channels to one server: the first for unary calls and single streams, more as parallel transfers ask for them.
#ifndef CHUNKKV_CLIENT_CPP_CLIENT_IMPL_H_
#define CHUNKKV_CLIENT_CPP_CLIENT_IMPL_H_

#include <grpcpp/channel.h>

#include <memory>
#include <string>
#include <vector>

#include "chunkkv/client/client.h"
#include "chunkkv/v1/kv_cache_service.grpc.pb.h"
#include "service/base/mutex.h"

namespace chunkkv::client {

inline constexpr int32_t kMaxChannels = 64;
inline constexpr size_t kPartBytes = size_t{1} << 20;

class Client::Impl {
 public:
  explicit Impl(std::string address);

  v1::KvCacheService::Stub& stub() { return *stub_; }
  // A connection of its own for each index in [0, kMaxChannels).
  std::shared_ptr<grpc::Channel> Channel(int32_t index);

 private:
  const std::string address_;
  Mutex mutex_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<v1::KvCacheService::Stub> stub_;
};

inline constexpr char kPutMethod[] = "/chunkkv.v1.KvCacheService/PutCache";
inline constexpr char kGetMethod[] = "/chunkkv.v1.KvCacheService/GetCache";

// Defined in get.cc and put_session.cc.
absl::StatusOr<CachedEntry> RunGet(Client::Impl& client, const GetRequest& request, const CallOptions& options);
absl::StatusOr<std::unique_ptr<PutSession>> OpenPut(Client::Impl& client, const PutRequest& request,
                                                    const CallOptions& options);

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_CPP_CLIENT_IMPL_H_
