// Channels to one server: the first for unary calls and single streams, more as parallel transfers ask for them.
#ifndef CHUNKKV_CLIENT_CPP_CLIENT_IMPL_H_
#define CHUNKKV_CLIENT_CPP_CLIENT_IMPL_H_

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "chunkkv/client/client.h"
#include "chunkkv/client/region.h"
#include "chunkkv/v1/kv_cache_service.grpc.pb.h"
#include "client/cpp/call.h"
#include "service/base/mutex.h"

namespace chunkkv::client {

class LocalConnection;

inline constexpr int32_t kMaxChannels = 64;
inline constexpr size_t kPartBytes = size_t{1} << 20;

class Client::Impl {
 public:
  Impl(std::string address, const ConnectOptions& options);

  v1::KvCacheService::Stub& stub() { return *stub_; }
  const CallMetadata& metadata() const { return metadata_; }
  // The connection to the server's local socket, made at the first call. Errors: FAILED_PRECONDITION REGIONS_DISABLED,
  // UNAVAILABLE LOCAL_SOCKET.
  absl::StatusOr<std::shared_ptr<LocalConnection>> Local(const CallOptions& options = {});
  void AddRegion(const Region::Impl* region);
  void RemoveRegion(const Region::Impl* region);
  bool HasRegions() const;
  // The region that `bytes` lie in, wholly; null: none.
  const Region::Impl* FindRegion(absl::Span<const std::byte> bytes) const;
  // Returns when nothing of the server touches regions for this transfer any more, or the server is gone.
  void Quiesce(const std::string& transfer_id);

  // A connection of its own for each index in [0, kMaxChannels).
  std::shared_ptr<grpc::Channel> Channel(int32_t index);

 private:
  const std::string address_;
  const int lost_after_ms_;
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  const CallMetadata metadata_;
  mutable Mutex mutex_;
  std::shared_ptr<LocalConnection> local_ ABSL_GUARDED_BY(mutex_);
  std::vector<const Region::Impl*> regions_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<grpc::Channel>> channels_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<v1::KvCacheService::Stub> stub_;
};

inline constexpr char kPutMethod[] = "/chunkkv.v1.KvCacheService/PutCache";
inline constexpr char kGetMethod[] = "/chunkkv.v1.KvCacheService/GetCache";

// Defined in get.cc and put_session.cc.
absl::StatusOr<CachedEntry> RunGet(Client::Impl& client, const GetRequest& request, const CallOptions& options);
absl::StatusOr<std::unique_ptr<PutSession>> OpenPut(Client::Impl& client, const PutRequest& request,
                                                    const CallOptions& options);

// Of 16 random bytes, never used again.
std::string NewTransferId();

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_CPP_CLIENT_IMPL_H_
