// A client process that is killed in the middle of a put.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>

#include "tests/support/child_process.h"
#include "tests/support/get_client.h"
#include "tests/support/put_client.h"
#include "tests/support/test_server.h"

namespace chunkkv {
namespace {

TEST(KilledClientTest, LeavesNeitherSessionNorByte) {
  TestServer server;
  for (int round = 0; round < 3; ++round) {
    ChildProcess client({CHUNKKV_HANG_MID_PUT, server.server().address()});
    ASSERT_EQ(client.ReadLine(), "ready");
    EXPECT_EQ(server.server().session_count(), 1);
    EXPECT_GT(server.store().Stats().used_bytes, 0);
    client.Signal(SIGKILL);
    EXPECT_EQ(client.Wait(), -SIGKILL);
    server.ExpectAtRest();
    EXPECT_EQ(server.store().Stats().used_bytes, 0);
  }
  const PutRequest request = SmallRequest();
  EXPECT_TRUE(PutAll(server.channel(), request, MakePrompt(request)).committed.has_value());
}

TEST(KilledClientTest, FailsTheReadersThatWaitedForIt) {
  TestServer server;
  ChildProcess client({CHUNKKV_HANG_MID_PUT, server.server().address()});
  ASSERT_EQ(client.ReadLine(), "ready");
  v1::GetCacheRequest get = GetRequestOf(SmallRequest());
  get.set_wait_ms(60'000);
  RawStream stream(server.channel(), "GetCache");
  stream.Send(get);
  stream.HalfClose();
  EXPECT_TRUE(TestServer::Eventually([&] { return server.store().Stats().waiters == 1; }));
  client.Signal(SIGKILL);
  const RpcEnd end = stream.Finish();
  EXPECT_EQ(end.code, grpc::StatusCode::ABORTED) << end;
  EXPECT_EQ(end.reason, "PUT_FAILED");
  server.ExpectAtRest();
}

}  // namespace
}  // namespace chunkkv
