// A server in the test's own process, on a free port.
#ifndef CHUNKKV_TESTS_SUPPORT_TEST_SERVER_H_
#define CHUNKKV_TESTS_SUPPORT_TEST_SERVER_H_

#include <grpcpp/channel.h>

#include <functional>
#include <memory>
#include <string>

#include "chunkkv/v1/kv_cache_service.grpc.pb.h"
#include "service/server.h"
#include "tests/support/fake_clock.h"
#include "tests/support/nccl_world.h"

namespace chunkkv {

// 64 MiB for entries, two threads an executor, no scrubbing, a local socket, entries that can be mapped, channels.
ServerOptions SmallServer();
// And regions of device memory: of the host, in a device's place.
ServerOptions ServerWithDeviceRegions();

class TestServer {
 public:
  // With the fake clock time stands still until a test moves it.
  enum class Time { kFake, kReal };
  explicit TestServer(const ServerOptions& options = SmallServer(), Time time = Time::kFake);

  Server& server() { return *server_; }
  EntryStore& store() { return server_->store(); }
  const ServerOptions& server_options() const { return options_; }
  FakeClock& clock() { return clock_; }
  // Where its channels are, unless the options say another place.
  NcclWorld& nccl() { return nccl_; }
  // A connection of its own.
  std::shared_ptr<grpc::Channel> NewChannel() const;
  // The shared one.
  std::shared_ptr<grpc::Channel> channel() const { return channel_; }
  v1::KvCacheService::Stub& stub() { return *stub_; }

  // Whether the server says that nothing touches memory for this transfer any more.
  bool Quiesce(const std::string& transfer_id);
  // Waits, for a few seconds at most, until no put, get or watcher is left; then nothing must be charged but entries.
  void ExpectAtRest();
  // False where `condition` has not come true in a few seconds of real time.
  static bool Eventually(const std::function<bool()>& condition);

 private:
  const ServerOptions options_;
  FakeClock clock_;
  NcclWorld nccl_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::KvCacheService::Stub> stub_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_SUPPORT_TEST_SERVER_H_
