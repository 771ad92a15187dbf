// When connections end that nobody uses.
#include <arpa/inet.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <chrono>
#include <string>

#include "service/format/file_descriptor.h"
#include "tests/support/raw_stream.h"
#include "tests/support/test_server.h"

namespace chunkkv {
namespace {

constexpr int kPatienceSeconds = 30;

FileDescriptor ConnectTo(int port) {
  FileDescriptor peer(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(peer.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const timeval patience{.tv_sec = kPatienceSeconds, .tv_usec = 0};
  setsockopt(peer.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return peer;
}

bool EndsOf(const FileDescriptor& peer) {
  char bytes[4096];
  ssize_t size;
  do {
    size = recv(peer.get(), bytes, sizeof bytes, 0);
  } while (size > 0);
  return size == 0 || errno == ECONNRESET;
}

bool Answers(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  v1::GetStatsResponse stats;
  return v1::KvCacheService::NewStub(channel)->GetStats(&context, v1::GetStatsRequest(), &stats).ok();
}

TEST(ConnectionLifecycleTest, EndsAConnectionWhosePeerHasVanished) {
  ServerOptions options = SmallServer();
  options.rpc.keepalive_ms = 50;
  options.rpc.keepalive_timeout_ms = 1000;  // who is there may be slow
  TestServer server(options);
  const FileDescriptor peer = ConnectTo(server.server().port());
  const std::string greeting("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);  // and an empty SETTINGS frame
  ASSERT_EQ(send(peer.get(), greeting.data(), greeting.size(), 0), static_cast<ssize_t>(greeting.size()));
  EXPECT_TRUE(EndsOf(peer)) << "no ping was answered";
  EXPECT_TRUE(TestServer::Eventually([&] { return Answers(server.channel()); })) << "others are not harmed";
}

TEST(ConnectionLifecycleTest, EndsAConnectionWithoutCallsButNoneWithAWatcher) {
  ServerOptions options = SmallServer();
  options.rpc.max_connection_idle_ms = 100;
  TestServer server(options);
  const auto watching = server.NewChannel();
  RawStream watcher(watching, "WatchCaches");
  watcher.Send(std::string());
  watcher.HalfClose();
  ASSERT_TRUE(watcher.Receive().has_value());
  const auto idle = server.NewChannel();
  ASSERT_TRUE(Answers(idle));
  const auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(kPatienceSeconds);
  EXPECT_TRUE(idle->WaitForStateChange(GRPC_CHANNEL_READY, deadline));
  EXPECT_EQ(watching->GetState(false), GRPC_CHANNEL_READY);
  EXPECT_TRUE(Answers(idle)) << "it connects again";
}

}  // namespace
}  // namespace chunkkv
