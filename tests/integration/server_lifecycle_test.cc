// How a server begins and ends, and what it answers while it drains.
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "chunkkv/kernels/status.h"
#include "service/base/clock.h"
#include "tests/support/get_client.h"
#include "tests/support/put_client.h"
#include "tests/support/test_server.h"

namespace chunkkv {
namespace {

using grpc::StatusCode;

// grpc.health.v1.HealthCheckResponse.status of the whole server; 0 where the call fails.
int Health(TestServer& server) {
  RawStream stream(server.channel(), "/grpc.health.v1.Health/Check");
  stream.Send(std::string());
  stream.HalfClose();
  const std::string bytes = stream.Receive().value_or("");
  return bytes.size() == 2 && bytes[0] == 0x08 ? bytes[1] : 0;
}

constexpr int kServing = 1;
constexpr int kNotServing = 2;

TEST(ServerLifecycleTest, ListensOnLoopbackOnlyUnlessToldOtherwise) {
  ServerOptions options = SmallServer();
  options.listen = "0.0.0.0:0";
  EXPECT_EQ(StatusReason(Server::Start(options, Clock::System()).status()), "INSECURE_LISTEN");
  options.insecure_listen = true;
  EXPECT_TRUE(Server::Start(options, Clock::System()).ok());
  options.listen = "nowhere";
  EXPECT_EQ(StatusReason(Server::Start(options, Clock::System()).status()), "BAD_LISTEN_ADDRESS");
}

TEST(ServerLifecycleTest, RefusesAPortThatIsTaken) {
  TestServer server;
  ServerOptions options = SmallServer();
  options.listen = server.server().address();
  EXPECT_EQ(StatusReason(Server::Start(options, Clock::System()).status()), "CANNOT_LISTEN");
}

TEST(ServerLifecycleTest, FinishesWhatIsInFlightWhileItDrains) {
  ServerOptions options = SmallServer();
  options.grace_ms = 60'000;
  TestServer server(options);
  EXPECT_EQ(Health(server), kServing);
  const PutRequest request = SmallRequest();
  const Prompt prompt = MakePrompt(request);
  PutClient client(server.channel());
  const auto begun = client.Begin(request);
  ASSERT_TRUE(begun.has_value());
  RawStream watcher(server.channel(), "WatchCaches");
  watcher.Send(std::string());
  watcher.HalfClose();
  EXPECT_TRUE(watcher.Receive().has_value());

  std::thread shutdown([&] { server.server().Shutdown(); });
  const RpcEnd watched = watcher.Finish();
  EXPECT_EQ(watched.code, StatusCode::UNAVAILABLE) << watched;
  EXPECT_EQ(watched.reason, "DRAINING");
  EXPECT_EQ(Health(server), kNotServing);
  const GotEntry got = GetAll(server.channel(), GetRequestOf(request));
  EXPECT_EQ(got.end.code, StatusCode::UNAVAILABLE);
  EXPECT_EQ(got.end.reason, "DRAINING");
  EXPECT_GT(got.end.retry_ms, 0);
  PutClient late(server.channel());
  EXPECT_FALSE(late.Begin(request).has_value());
  EXPECT_EQ(late.Finish().reason, "DRAINING");

  // A session in progress may still be given streams.
  PutClient attached(server.channel());
  ASSERT_TRUE(attached.Attach(begun->session_id()));
  client.SendLayer(request, prompt, 0, 96);
  for (int32_t layer = 1; layer < 3; ++layer) attached.SendLayer(request, prompt, layer, 96);
  attached.stream().HalfClose();
  EXPECT_TRUE(attached.Finish().ok());
  client.SendCommit();
  EXPECT_TRUE(client.ReceiveCommitted().has_value());
  EXPECT_TRUE(client.Finish().ok());
  shutdown.join();
}

TEST(ServerLifecycleTest, CutsWhatOutlivesTheGrace) {
  ServerOptions options = SmallServer();
  options.grace_ms = 0;
  TestServer server(options);
  PutClient client(server.channel());
  ASSERT_TRUE(client.Begin(SmallRequest()).has_value());
  server.server().Shutdown();
  EXPECT_NE(client.Finish().code, StatusCode::OK);
  EXPECT_EQ(server.server().session_count(), 0);
  EXPECT_EQ(server.store().Stats().used_bytes, 0);
}

TEST(ServerLifecycleTest, EndsEveryRpcByItsOwnLimit) {
  TestServer server;
  RawStream watcher(server.channel(), "WatchCaches", int64_t{100} * 365 * 24 * 3'600'000);
  watcher.Send(std::string());
  watcher.HalfClose();
  EXPECT_TRUE(watcher.Receive().has_value());
  server.clock().AdvanceMs(3'600'001);
  const RpcEnd end = watcher.Finish();
  EXPECT_EQ(end.code, StatusCode::DEADLINE_EXCEEDED) << end;
  EXPECT_EQ(end.reason, "RPC_TOO_LONG");
  server.ExpectAtRest();
}

}  // namespace
}  // namespace chunkkv
