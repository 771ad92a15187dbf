// The server's resident memory stays within its budget and a fixed allowance, also with many puts at once.
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "service/rpc/wire_identity.h"
#include "tests/support/child_process.h"
#include "tests/support/get_client.h"
#include "tests/support/put_client.h"
#include "tests/support/test_server.h"

namespace chunkkv {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kBudgetBytes = 128 * kMiB;
constexpr int64_t kAllowanceBytes = 128 * kMiB;
constexpr int kClients = 32;

PutRequest RequestOf(uint8_t client, uint8_t round) {
  PutRequest request = SmallRequest();
  request.spec = CompactionSpec();
  request.score_source = ScoreSource::kNone;
  request.order = PartOrder::kAny;
  request.layout = {AttentionLayers(0, 1)};
  request.layout[0].attention->key_head_size = 128;
  request.layout[0].attention->value_head_size = 128;
  request.layout[0].attention->kv_head_count = 8;
  request.layout[0].attention->query_head_count = 8;
  request.model.layer_count = request.shard.layer_count = 1;
  request.model.kv_head_count = request.shard.kv_head_count = 8;
  request.model.key_head_size = request.model.value_head_size = 128;
  request.token_count = 384;  // 4 KiB a row of K or V: parts of 1.5 MiB, and room for all clients' entries at once
  request.key[0] = client;
  request.key[1] = round;
  return request;
}

std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

TEST(ResidentMemoryTest, StaysWithinBudgetWithManyPutsAndGetsAtOnce) {
  ServerProcess server(CHUNKKV_SERVER, {"--host-memory", std::to_string(kBudgetBytes)});
  const int64_t idle_bytes = server.process().ResidentBytes();
  const Prompt prompt = MakePrompt(RequestOf(0, 0));
  std::atomic<int> committed{0};
  std::atomic<int> refused{0};
  std::vector<std::thread> clients;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(12);
  for (int client = 0; client < kClients; ++client) {
    clients.emplace_back([&, client] {
      const auto channel = ChannelTo(server.address());
      for (uint8_t round = 0; std::chrono::steady_clock::now() < end; ++round) {
        const PutRequest request = RequestOf(static_cast<uint8_t>(client + 1), round);
        const PutResult put = PutAll(channel, request, prompt, 384);
        if (put.committed) {
          ++committed;
          GetAll(channel, GetRequestOf(request));  // perhaps evicted by now
        } else {
          EXPECT_EQ(put.end.reason, "BUDGET") << put.end;
          ++refused;
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
  const int64_t peak_bytes = server.process().PeakResidentBytes();
  std::printf("resident: %lld MiB idle, %lld MiB at most with a budget of %lld MiB; %d puts, %d refused\n",
              static_cast<long long>(idle_bytes / kMiB), static_cast<long long>(peak_bytes / kMiB),
              static_cast<long long>(kBudgetBytes / kMiB), committed.load(), refused.load());
  EXPECT_GT(committed, 0);
  EXPECT_LE(peak_bytes, kBudgetBytes + kAllowanceBytes);
  server.process().Signal(SIGTERM);
  EXPECT_EQ(server.process().Wait(), 0);
}

// A killed client's session ends without the server's clock, which stands still here, having to move.
TEST(ResidentMemoryTest, SessionsOfKilledClientsEndAtOnce) {
  TestServer server;
  for (int round = 0; round < 5; ++round) {
    ChildProcess client({CHUNKKV_HANG_MID_PUT, server.server().address()});
    ASSERT_EQ(client.ReadLine(), "ready");
    client.Signal(SIGKILL);
    EXPECT_TRUE(TestServer::Eventually(
        [&] { return server.server().session_count() == 0 && server.store().Stats().used_bytes == 0; }));
  }
}

}  // namespace
}  // namespace chunkkv
