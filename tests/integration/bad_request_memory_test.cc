// What small requests may make a server hold.
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdint>
#include <cstdio>
#include <functional>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "service/rpc/wire_identity.h"
#include "tests/support/child_process.h"
#include "tests/support/put_client.h"
#include "tests/support/test_server.h"

namespace chunkkv {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kBudgetBytes = 16 * kMiB;
constexpr int64_t kAllowanceBytes = 128 * kMiB;
constexpr int kClients = 4;

// The caller's own choice of 20,000 of 30,000 tokens.
PutRequest RequestOfManyPositions() {
  PutRequest request = SmallRequest();
  request.spec = CompactionSpec();
  request.spec.policy = Policy::kExternal;
  request.spec.label = std::string("by hand");
  request.score_source = ScoreSource::kNone;
  request.layout = {AttentionLayers(0, 1)};
  request.model.layer_count = request.shard.layer_count = 1;
  request.token_count = 30'000;
  request.group_row_counts = {20'000};
  return request;
}

class BadRequestMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    const PutRequest request = RequestOfManyPositions();
    std::vector<int32_t> positions(20'000);
    std::iota(positions.begin(), positions.end(), 1);
    const PutResult put = PutAll(NewChannel(), request, MakePrompt(request), 4096, {positions});
    ASSERT_TRUE(put.committed.has_value()) << put.end;
    entry_id_ = put.committed->entry_id();
  }

  void TearDown() override {
    const int64_t peak_bytes = server_.process().PeakResidentBytes();
    std::printf("resident: %lld MiB at most\n", static_cast<long long>(peak_bytes / kMiB));
    EXPECT_LE(peak_bytes, kBudgetBytes + kAllowanceBytes);
    server_.process().Signal(SIGTERM);
    EXPECT_EQ(server_.process().Wait(), 0);
  }

  std::shared_ptr<grpc::Channel> NewChannel() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetMaxReceiveMessageSize(-1);
    return grpc::CreateCustomChannel(server_.address(), grpc::InsecureChannelCredentials(), arguments);
  }

  // From several clients at once.
  void CallOften(const std::function<void(v1::KvCacheService::Stub&)>& call) {
    std::vector<std::thread> clients;
    for (int client = 0; client < kClients; ++client) {
      clients.emplace_back([&] {
        const auto stub = v1::KvCacheService::NewStub(NewChannel());
        for (int round = 0; round < 4; ++round) call(*stub);
      });
    }
    for (std::thread& client : clients) client.join();
  }

  ServerProcess server_{CHUNKKV_SERVER, {"--host-memory", std::to_string(kBudgetBytes)}};
  std::string entry_id_;
};

TEST_F(BadRequestMemoryTest, DescribingOneEntryWithPositionsThousandsOfTimes) {
  v1::DescribeCachesRequest request;
  request.set_with_positions(true);
  for (int i = 0; i < 4096; ++i) request.add_entries()->set_entry_id(entry_id_);
  CallOften([&](v1::KvCacheService::Stub& stub) {
    grpc::ClientContext context;
    v1::DescribeCachesResponse response;
    EXPECT_TRUE(stub.DescribeCaches(&context, request, &response).ok());
    ASSERT_EQ(response.items_size(), 4096);
    EXPECT_EQ(response.items(0).info().groups(0).positions_size(), 20'000);
    EXPECT_EQ(response.items(4095).status().reason(), "REPLY_TOO_LARGE");
  });
}

TEST_F(BadRequestMemoryTest, FindingRepeatedShards) {
  v1::FindLongestPrefixRequest request;
  for (int i = 0; i < 400; ++i) {
    auto* const query = request.add_queries();
    rpc::ToWire(RequestOfManyPositions().model, query->mutable_model());
    query->mutable_prompt()->add_tokens(1);
    for (int shard = 0; shard < 4096; ++shard) query->add_shards();
  }
  CallOften([&](v1::KvCacheService::Stub& stub) {
    grpc::ClientContext context;
    v1::FindLongestPrefixResponse response;
    const RpcEnd end = EndOf(stub.FindLongestPrefix(&context, request, &response), context);
    EXPECT_EQ(end.reason, "REQUEST_TOO_LARGE") << end;
  });
}

}  // namespace
}  // namespace chunkkv
