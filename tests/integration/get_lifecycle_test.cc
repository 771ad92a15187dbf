// How gets live and end: waits for puts, ranges, position modes, leases, cancelled and stalled readers.
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_identity.h"
#include "service/rpc/wire_spec.h"
#include "service/transfer/served_layer.h"
#include "tests/support/get_client.h"
#include "tests/support/put_client.h"
#include "tests/support/test_server.h"

namespace chunkkv {
namespace {

using grpc::StatusCode;

PutRequest FullRequest() {
  PutRequest request = SmallRequest();
  request.spec = CompactionSpec();
  request.score_source = ScoreSource::kNone;
  return request;
}

PutRequest WithRope() {
  PutRequest request = SmallRequest();
  RopeShape rope;
  rope.rotary_dims = 4;
  rope.inv_freq = {1.0, 0.1};
  request.layout[0].attention->rope = rope;
  return request;
}

PutRequest LargeFull(int64_t mebibytes) {
  PutRequest request = FullRequest();
  request.order = PartOrder::kAny;
  request.token_count = (mebibytes << 20) / (3 * 2 * (8 + 4) * 4);
  return request;
}

int64_t WaiterCount(TestServer& server) { return server.store().Stats().waiters; }

TEST(GetLifecycleTest, WaitsForAPutThatHasNotBegun) {
  TestServer server;
  const PutRequest request = SmallRequest();
  const Prompt prompt = MakePrompt(request);
  std::thread reader([&] {
    v1::GetCacheRequest get = GetRequestOf(request);
    get.set_wait_ms(60'000);
    ExpectServed(GetAll(server.NewChannel(), get), request, prompt, ReferenceKept(request, prompt).positions);
  });
  EXPECT_TRUE(TestServer::Eventually([&] { return WaiterCount(server) == 1; }));
  EXPECT_TRUE(PutAll(server.channel(), request, prompt).committed.has_value());
  reader.join();
  server.ExpectAtRest();
}

TEST(GetLifecycleTest, EndsAWaitThatIsOver) {
  TestServer server;
  std::thread reader([&] {
    v1::GetCacheRequest get = GetRequestOf(SmallRequest());
    get.set_wait_ms(2000);
    const GotEntry got = GetAll(server.NewChannel(), get);
    EXPECT_EQ(got.end.code, StatusCode::NOT_FOUND) << got.end;
    EXPECT_EQ(got.end.reason, "ENTRY_NOT_FOUND");
  });
  EXPECT_TRUE(TestServer::Eventually([&] { return WaiterCount(server) == 1; }));
  // The wait is counted from a little after the waiter is seen: time must pass until it ends.
  EXPECT_TRUE(TestServer::Eventually([&] {
    server.clock().AdvanceMs(100);
    return WaiterCount(server) == 0;
  }));
  reader.join();
  server.ExpectAtRest();
}

TEST(GetLifecycleTest, LearnsThatThePutFailed) {
  TestServer server;
  const PutRequest request = SmallRequest();
  PutClient client(server.channel());
  ASSERT_TRUE(client.Begin(request).has_value());
  std::thread reader([&] {
    v1::GetCacheRequest get = GetRequestOf(request);
    get.set_wait_ms(60'000);
    const GotEntry got = GetAll(server.NewChannel(), get);
    EXPECT_EQ(got.end.code, StatusCode::ABORTED) << got.end;
    EXPECT_EQ(got.end.reason, "PUT_FAILED");
  });
  EXPECT_TRUE(TestServer::Eventually([&] { return WaiterCount(server) == 1; }));
  client.stream().Cancel();
  reader.join();
  client.Finish();
  server.ExpectAtRest();
}

TEST(GetLifecycleTest, CancelledWaitLeavesNoWaiter) {
  TestServer server;
  v1::GetCacheRequest get = GetRequestOf(SmallRequest());
  get.set_wait_ms(60'000);
  RawStream stream(server.channel(), "GetCache");
  stream.Send(get);
  stream.HalfClose();
  EXPECT_TRUE(TestServer::Eventually([&] { return WaiterCount(server) == 1; }));
  stream.Cancel();
  EXPECT_EQ(stream.Finish().code, StatusCode::CANCELLED);
  server.ExpectAtRest();
}

TEST(GetLifecycleTest, CancelledGetFreesTheEntryAtOnce) {
  TestServer server;
  const PutRequest request = LargeFull(24);
  const PutResult put = PutAll(server.channel(), request, MakePrompt(request), 2048);
  ASSERT_TRUE(put.committed.has_value()) << put.end;
  RawStream stream(server.NewChannel(), "GetCache");
  stream.Send(GetRequestOf(request));
  stream.HalfClose();
  EXPECT_TRUE(stream.Receive().has_value());  // and then nothing more is read
  v1::DeleteCachesRequest remove;
  remove.add_entries()->set_entry_id(put.committed->entry_id());
  v1::DeleteCachesResponse removed;
  grpc::ClientContext context;
  ASSERT_TRUE(server.stub().DeleteCaches(&context, remove, &removed).ok());
  ASSERT_EQ(removed.items(0).code(), 0);
  // The reader holds the bytes, also those of an entry that is gone.
  EXPECT_GT(server.store().Stats().used_bytes, 0);
  stream.Cancel();
  EXPECT_EQ(stream.Finish().code, StatusCode::CANCELLED);
  EXPECT_TRUE(TestServer::Eventually([&] { return server.store().Stats().used_bytes == 0; }));
  server.ExpectAtRest();
}

TEST(GetLifecycleTest, EndsForAClientThatDoesNotRead) {
  TestServer server;
  const PutRequest request = LargeFull(24);
  ASSERT_TRUE(PutAll(server.channel(), request, MakePrompt(request), 2048).committed.has_value());
  RawStream stream(server.NewChannel(), "GetCache");
  stream.Send(GetRequestOf(request));
  stream.HalfClose();
  EXPECT_TRUE(stream.Receive().has_value());
  EXPECT_TRUE(TestServer::Eventually([&] {
    server.clock().AdvanceMs(500);
    return server.server().stream_count() == 0;
  }));
  EXPECT_NE(stream.Finish().code, StatusCode::OK);
  server.ExpectAtRest();
}

TEST(GetLifecycleTest, ServesARangeOfLayers) {
  TestServer server;
  const PutRequest request = FullRequest();
  const Prompt prompt = MakePrompt(request);
  ASSERT_TRUE(PutAll(server.channel(), request, prompt).committed.has_value());
  v1::GetCacheRequest get = GetRequestOf(request);
  get.mutable_layers()->set_begin(1);
  get.mutable_layers()->set_end(3);
  const GotEntry got = GetAll(server.channel(), get);
  EXPECT_TRUE(got.end.ok()) << got.end;
  EXPECT_EQ(got.fault, "");
  EXPECT_EQ(got.ended_layers, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(got.header.first_layer(), 1);
  EXPECT_EQ(got.header.layer_count(), 2);
  EXPECT_TRUE(got.tensor(2, v1::TENSOR_KIND_VALUES) == prompt[2].tensors[1]);
  EXPECT_TRUE(got.tensor(0, v1::TENSOR_KIND_KEYS).empty());
}

TEST(GetLifecycleTest, ServesARangeOfTokens) {
  TestServer server;
  const PutRequest request = FullRequest();
  const Prompt prompt = MakePrompt(request);
  ASSERT_TRUE(PutAll(server.channel(), request, prompt).committed.has_value());
  v1::GetCacheRequest get = GetRequestOf(request);
  get.mutable_tokens()->set_begin(16);
  get.mutable_tokens()->set_end(80);
  const GotEntry got = GetAll(server.channel(), get);
  EXPECT_TRUE(got.end.ok()) << got.end;
  EXPECT_EQ(got.fault, "");
  EXPECT_EQ(got.header.first_token(), 16);
  EXPECT_EQ(got.header.served_tokens(), 64);
  EXPECT_EQ(got.header.next_position(), 80);
  const TensorSpec keys = LayerTensors(request.layout, 1)[0];
  EXPECT_TRUE(got.tensor(1, v1::TENSOR_KIND_KEYS) == PartBytes(keys, prompt[1].tensors[0], 16, 80, false));
}

TEST(GetLifecycleTest, ServesContiguousPositions) {
  TestServer server;
  const PutRequest request = WithRope();
  const Prompt prompt = MakePrompt(request);
  ASSERT_TRUE(PutAll(server.channel(), request, prompt).committed.has_value());
  v1::GetCacheRequest get = GetRequestOf(request);
  get.set_position_mode(v1::POSITION_MODE_CONTIGUOUS);
  const GotEntry got = GetAll(server.channel(), get);
  ASSERT_TRUE(got.end.ok()) << got.end;
  EXPECT_EQ(got.fault, "");
  EXPECT_EQ(got.header.next_position(), 40);
  EXPECT_EQ(got.header.position_mode(), v1::POSITION_MODE_CONTIGUOUS);
  const EntryPtr entry = server.store().List("default", std::nullopt, std::nullopt, 1).at(0).entry;
  ServeOptions options;
  options.position_mode = PositionMode::kContiguous;
  const auto reference = MakeReferenceCompactor();
  for (int32_t layer = 0; layer < 3; ++layer) {
    const auto served = ServeLayer(entry->header(), entry->body(), layer, options, *reference);
    ASSERT_TRUE(served.ok());
    const auto keys = served->tensors[0].bytes;
    EXPECT_TRUE(got.tensor(layer, v1::TENSOR_KIND_KEYS) == Bytes(keys.begin(), keys.end()));
    const auto stored = entry->TensorBytes(*served->tensors[0].slot);
    EXPECT_FALSE(Bytes(stored.begin(), stored.end()) == Bytes(keys.begin(), keys.end()));
  }
  server.ExpectAtRest();
}

TEST(GetLifecycleTest, CutsPartsToTheReadersSize) {
  TestServer server;
  const PutRequest request = LargeFull(2);
  const Prompt prompt = MakePrompt(request);
  ASSERT_TRUE(PutAll(server.channel(), request, prompt, 2048).committed.has_value());
  v1::GetCacheRequest get = GetRequestOf(request);
  get.set_max_part_bytes(16 << 10);
  RawStream stream(server.channel(), "GetCache");
  stream.Send(get);
  stream.HalfClose();
  int parts = 0;
  while (const auto bytes = stream.Receive()) {
    v1::GetCacheResponse response;
    ASSERT_TRUE(response.ParseFromString(*bytes));
    if (!response.has_part()) continue;
    ++parts;
    EXPECT_LE(response.part().payload().inline_().size(), size_t{16 << 10});
  }
  EXPECT_TRUE(stream.Finish().ok());
  EXPECT_GT(parts, 100);
}

TEST(GetLifecycleTest, AcceptsByRule) {
  TestServer server;
  const PutRequest lossy = SmallRequest();
  const PutRequest full = FullRequest();
  ASSERT_TRUE(PutAll(server.channel(), lossy, MakePrompt(lossy)).committed.has_value());
  v1::GetCacheRequest get = GetRequestOf(lossy);
  rpc::ToWire(lossy.spec, get.mutable_accept()->mutable_spec());
  EXPECT_EQ(GetAll(server.channel(), get).header.policy_applied(), v1::POLICY_CHUNK_KV);
  get.mutable_accept()->set_least_lossy(true);
  EXPECT_EQ(GetAll(server.channel(), get).header.policy_applied(), v1::POLICY_CHUNK_KV);
  ASSERT_TRUE(PutAll(server.channel(), full, MakePrompt(full)).committed.has_value());
  EXPECT_EQ(GetAll(server.channel(), get).header.policy_applied(), v1::POLICY_FULL);
  get.mutable_accept()->set_exact(true);
  EXPECT_EQ(GetAll(server.channel(), get).header.policy_applied(), v1::POLICY_FULL);
  // The fingerprint stands for the model.
  get.set_fingerprint(rpc::ToString(Fingerprint(full.model)));
  get.clear_shard();
  EXPECT_EQ(GetAll(server.channel(), get).header.policy_applied(), v1::POLICY_FULL);
  server.ExpectAtRest();
}

TEST(GetLifecycleTest, ReleasesTheLeaseItWasGiven) {
  TestServer server;
  PutRequest request = FullRequest();
  std::vector<uint32_t> tokens(96);
  for (uint32_t i = 0; i < 96; ++i) tokens[i] = i * 7;
  request.prompt = DigestPrompt(tokens, {});
  ASSERT_TRUE(PutAll(server.channel(), request, MakePrompt(request)).committed.has_value());
  v1::FindLongestPrefixRequest find;
  auto* query = find.add_queries();
  rpc::ToWire(request.model, query->mutable_model());
  query->mutable_prompt()->mutable_tokens()->Add(tokens.begin(), tokens.end());
  query->mutable_prompt()->add_tokens(5);
  query->set_hold_ms(60'000);
  v1::FindLongestPrefixResponse found;
  grpc::ClientContext context;
  ASSERT_TRUE(server.stub().FindLongestPrefix(&context, find, &found).ok());
  ASSERT_EQ(found.results(0).status().code(), 0);
  EXPECT_EQ(found.results(0).covered_tokens(), 96);
  EXPECT_GT(found.results(0).expected_load_ms(), 0);
  ASSERT_EQ(found.results(0).lease_id().size(), 16u);
  EXPECT_EQ(server.store().Stats().pins, 1);
  v1::GetCacheRequest get = GetRequestOf(request);
  get.set_if_entry_id(found.results(0).entries(0).entry_id());
  get.set_lease_id(found.results(0).lease_id());
  EXPECT_TRUE(GetAll(server.channel(), get).end.ok());
  server.ExpectAtRest();
}

}  // namespace
}  // namespace chunkkv
