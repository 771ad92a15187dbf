#include "tests/support/test_server.h"

#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "service/base/check.h"
#include "tests/support/host_device_memory.h"
#include "tests/support/store_at_rest.h"

namespace chunkkv {

ServerOptions SmallServer() {
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  options.thread_count = 2;
  options.scrub_bytes_per_second = 0;
  options.grace_ms = 2000;
  static std::atomic<int> last_socket{0};
  options.local_socket.path =
      testing::TempDir() + "chunkkv-" + std::to_string(getpid()) + "-" + std::to_string(++last_socket);
  options.map_entries = true;
  options.channels.enabled = true;
  options.store.host_budget_bytes = int64_t{64} << 20;
  options.store.max_entry_bytes = options.store.host_budget_bytes;
  return options;
}

ServerOptions ServerWithDeviceRegions() {
  ServerOptions options = SmallServer();
  options.device_regions = true;
  options.open_device_memory = [] { return std::make_unique<HostDeviceMemory>(); };
  return options;
}

TestServer::TestServer(const ServerOptions& options, Time time) : options_(options) {
  const Clock& clock = time == Time::kFake ? static_cast<const Clock&>(clock_) : Clock::System();
  ServerOptions with_fakes = options;
  if (!with_fakes.open_channels) with_fakes.open_channels = [this] { return nccl_.Ground(); };
  auto server = Server::Start(with_fakes, clock);
  CHUNKKV_CHECK(server.ok());
  server_ = *std::move(server);
  channel_ = NewChannel();
  stub_ = v1::KvCacheService::NewStub(channel_);
}

std::shared_ptr<grpc::Channel> TestServer::NewChannel() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  return grpc::CreateCustomChannel(server_->address(), grpc::InsecureChannelCredentials(), arguments);
}

bool TestServer::Eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

bool TestServer::Quiesce(const std::string& transfer_id) {
  v1::QuiesceTransferRequest request;
  request.set_transfer_id(transfer_id);
  v1::QuiesceTransferResponse response;
  grpc::ClientContext context;
  return stub_->QuiesceTransfer(&context, request, &response).ok();
}

void TestServer::ExpectAtRest() {
  EXPECT_TRUE(Eventually([this] {
    const StoreStats stats = store().Stats();
    return server_->session_count() == 0 && server_->stream_count() == 0 && stats.puts_in_progress == 0 &&
           server_->channel_messages() == 0 && stats.used_bytes == stats.entry_bytes;
  })) << server_->session_count()
      << " sessions, " << server_->stream_count() << " streams";
  chunkkv::ExpectAtRest(store());
}

}  // namespace chunkkv
