// NCCL channels over their life: who shares one, what ends with whom, and that nothing is left of a client that dies.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/carrier.h"
#include "tests/support/channel_client.h"
#include "tests/support/get_client.h"
#include "tests/support/put_client.h"
#include "tests/support/test_server.h"

namespace chunkkv {
namespace {

// Keys of SmallRequest: [96, 2, 8] of float32.
constexpr int64_t kRowBytes = 2 * 8 * 4;

PutRequest FullRequest(uint8_t key = 1) {
  PutRequest request = SmallRequest();
  request.spec = CompactionSpec();
  request.score_source = ScoreSource::kNone;
  request.key.fill(key);
  return request;
}

v1::PutCacheRequest OnChannel(const std::string& channel_id, int32_t layer, int64_t begin, int64_t end) {
  v1::PutCacheRequest message = InlinePart(RowsPart(SmallRequest(), layer, 0, begin, end), {});
  v1::TensorPayload* payload = message.mutable_part()->mutable_payload();
  payload->Clear();
  payload->mutable_nccl()->set_channel_id(channel_id);
  payload->mutable_nccl()->set_length_bytes((end - begin) * kRowBytes);
  return message;
}

// A full put whose parts are announced one by one.
struct OpenPut {
  explicit OpenPut(TestServer& server, const std::string& transfer_id = "", uint8_t key = 1)
      : client(server.channel()) {
    v1::Begin begin = BeginOf(FullRequest(key));
    begin.set_transfer_id(transfer_id);
    EXPECT_TRUE(client.Begin(begin).has_value());
  }
  // The next answer must be that a part is wanted.
  v1::Ready ReceiveReady() {
    const std::optional<std::string> bytes = client.stream().Receive();
    v1::PutCacheResponse response;
    EXPECT_TRUE(bytes && response.ParseFromString(*bytes) && response.has_ready());
    return response.ready();
  }
  PutClient client;
};

void ExpectNoChannels(TestServer& server) {
  EXPECT_TRUE(TestServer::Eventually([&] { return server.server().channel_count() == 0; }))
      << server.server().channel_count();
}

// As a worker's network may be: that a rank is gone is told by nothing but the end of its connection.
void TellNothingOfLostPeers(TestServer& server) {
  server.nccl().Change([](FakeNccl& nccl) { nccl.TellOfLostPeers(false); });
}

TEST(ChannelLifecycleTest, SaysWhatItWantsInOrderAndTakesItInThatOrderOnly) {
  TestServer server;
  const auto channel = JoinedClient(server);
  OpenPut put(server);
  for (int64_t begin = 0; begin < 96; begin += 24) {
    put.client.Send(OnChannel(channel->channel_id(), 0, begin, begin + 24));
  }
  const Prompt prompt = MakePrompt(FullRequest());
  for (int64_t sequence = 0; sequence < 4; ++sequence) {
    const v1::Ready ready = put.ReceiveReady();
    EXPECT_EQ(ready.channel_id(), channel->channel_id());
    EXPECT_EQ(ready.sequence(), sequence);
    EXPECT_EQ(ready.layer(), 0);
    EXPECT_EQ(ready.tensor(), v1::TENSOR_KIND_KEYS);
    EXPECT_EQ(ready.begin(), sequence * 24);
    EXPECT_EQ(ready.end(), sequence * 24 + 24);
    const auto from = prompt[0].tensors[0].begin() + ready.begin() * kRowBytes;
    channel->Send(sequence, Bytes(from, from + 24 * kRowBytes));
  }
  // The rest goes inline: carriers mix.
  put.client.SendRows(FullRequest(), prompt, 0, 1, 0, 96);
  for (int32_t layer = 1; layer < 3; ++layer) put.client.SendLayer(FullRequest(), prompt, layer, 96);
  put.client.SendCommit();
  EXPECT_TRUE(put.client.ReceiveCommitted().has_value());
  EXPECT_TRUE(put.client.Finish().ok());
  const std::vector<int32_t> everything = [] {
    std::vector<int32_t> all(96);
    for (int32_t i = 0; i < 96; ++i) all[i] = i;
    return all;
  }();
  ExpectServed(GetAll(server.channel(), GetRequestOf(FullRequest())), FullRequest(), prompt,
               {everything, everything, everything});
  server.ExpectAtRest();
}

TEST(ChannelLifecycleTest, ServesOneAfterTheOtherOverOneChannel) {
  TestServer server;
  const auto carrier = MakeNcclCarrier(server);
  for (uint8_t key = 1; key < 6; ++key) {
    PutRequest request = SmallRequest();
    request.key.fill(key);
    const Prompt prompt = MakePrompt(request, key);
    const PutResult put = PutAll(server.channel(), request, prompt, 5, {}, carrier.get());
    ASSERT_TRUE(put.end.ok()) << put.end;
    ExpectServed(carrier->Get(server.channel(), GetRequestOf(request), request), request, prompt,
                 ReferenceKept(request, prompt).positions);
  }
  server.ExpectAtRest();
}

TEST(ChannelLifecycleTest, ServesManyChannelsAtOnce) {
  TestServer server;
  std::vector<std::thread> threads;
  for (uint8_t key = 1; key < 5; ++key) {
    threads.emplace_back([&server, key] {
      const auto carrier = MakeNcclCarrier(server);
      PutRequest request = SmallRequest();
      request.key.fill(key);
      const Prompt prompt = MakePrompt(request, key);
      const PutResult put = PutAll(server.channel(), request, prompt, 11, {}, carrier.get());
      EXPECT_TRUE(put.end.ok()) << put.end;
      ExpectServed(carrier->Get(server.channel(), GetRequestOf(request), request), request, prompt,
                   ReferenceKept(request, prompt).positions);
    });
  }
  for (std::thread& thread : threads) thread.join();
  server.ExpectAtRest();
  ExpectNoChannels(server);
}

TEST(ChannelLifecycleTest, AClientThatDiesMidPutLeavesNothing) {
  TestServer server;
  TellNothingOfLostPeers(server);
  {
    const auto channel = JoinedClient(server);
    OpenPut put(server);
    put.client.Send(OnChannel(channel->channel_id(), 0, 0, 96));
    put.ReceiveReady();  // and never sends
    put.client.stream().Cancel();
    channel->CloseConnection();
  }
  server.ExpectAtRest();
  ExpectNoChannels(server);
}

TEST(ChannelLifecycleTest, AClientThatDiesMidGetLeavesNothing) {
  TestServer server;
  TellNothingOfLostPeers(server);
  const PutRequest request = FullRequest();
  ASSERT_TRUE(PutAll(server.channel(), request, MakePrompt(request)).end.ok());
  {
    const auto channel = JoinedClient(server);
    v1::GetCacheRequest wire = GetRequestOf(request);
    wire.mutable_target()->set_channel_id(channel->channel_id());
    RawStream get(server.channel(), "GetCache");
    get.Send(wire);
    get.HalfClose();
    EXPECT_TRUE(get.Receive().has_value());  // the header
    EXPECT_TRUE(get.Receive().has_value());  // a part, which is never received
  }
  server.ExpectAtRest();
  ExpectNoChannels(server);
}

TEST(ChannelLifecycleTest, AnIdleChannelEndsWithItsClient) {
  TestServer server;
  TellNothingOfLostPeers(server);
  auto channel = JoinedClient(server);
  EXPECT_TRUE(TestServer::Eventually([&] { return server.server().channel_count() == 1; }));
  channel = nullptr;
  ExpectNoChannels(server);
}

TEST(ChannelLifecycleTest, ACancelledPutEndsItsTransfersAndQuiesceWaitsForThem) {
  TestServer server;
  const auto channel = JoinedClient(server);
  {
    OpenPut put(server, "transfer");
    put.client.Send(OnChannel(channel->channel_id(), 0, 0, 96));
    put.ReceiveReady();
  }  // cancelled
  EXPECT_TRUE(server.Quiesce("transfer"));
  EXPECT_EQ(server.server().channel_messages(), 0);
  server.ExpectAtRest();
  // What was in flight cannot be taken back, so that the channel has ended, and says why.
  ExpectNoChannels(server);
  OpenPut next(server);
  next.client.Send(OnChannel(channel->channel_id(), 0, 0, 96));
  EXPECT_EQ(next.client.Finish().reason, "CHANNEL_CLOSED");
  server.ExpectAtRest();
}

TEST(ChannelLifecycleTest, APutCancelledBeforeItsPartStartsHarmsNobodyElse) {
  TestServer server;
  const auto channel = JoinedClient(server);
  OpenPut first(server, "", 1);
  first.client.Send(OnChannel(channel->channel_id(), 0, 0, 10));
  first.client.Send(OnChannel(channel->channel_id(), 0, 10, 20));  // two are in flight, others wait
  first.ReceiveReady();
  first.ReceiveReady();
  {
    OpenPut second(server, "second", 2);
    second.client.Send(OnChannel(channel->channel_id(), 0, 0, 96));
    EXPECT_TRUE(TestServer::Eventually([&] { return server.server().channel_messages() == 3; }));
  }
  EXPECT_TRUE(server.Quiesce("second"));
  EXPECT_EQ(server.server().channel_messages(), 2);
  const Prompt prompt = MakePrompt(FullRequest());
  for (int64_t sequence = 0; sequence < 2; ++sequence) {
    const auto from = prompt[0].tensors[0].begin() + sequence * 10 * kRowBytes;
    channel->Send(sequence, Bytes(from, from + 10 * kRowBytes));
  }
  EXPECT_TRUE(TestServer::Eventually([&] { return server.server().channel_messages() == 0; }));
  EXPECT_EQ(server.server().channel_count(), 1);
}

TEST(ChannelLifecycleTest, AQuiescedPutReceivesNothingMore) {
  TestServer server;
  const auto channel = JoinedClient(server);
  OpenPut put(server, "transfer");
  EXPECT_TRUE(server.Quiesce("transfer"));
  put.client.Send(OnChannel(channel->channel_id(), 0, 0, 96));
  EXPECT_EQ(put.client.Finish().reason, "TRANSFER_QUIESCED");
  server.ExpectAtRest();
}

TEST(ChannelLifecycleTest, APutThatIsAheadOfItsBuffersWaitsAndGoesOn) {
  TestServer server;
  const auto channel = JoinedClient(server);
  OpenPut put(server);
  const Prompt prompt = MakePrompt(FullRequest());
  for (int64_t row = 0; row < 96; ++row) put.client.Send(OnChannel(channel->channel_id(), 0, row, row + 1));
  EXPECT_TRUE(TestServer::Eventually(
      [&] { return server.server().channel_messages() == ChannelBuffers::kMostOfChannel; }));
  for (int64_t row = 0; row < 96; ++row) {
    const v1::Ready ready = put.ReceiveReady();
    EXPECT_EQ(ready.begin(), row);
    EXPECT_LE(server.server().channel_messages(), ChannelBuffers::kMostOfChannel);
    const auto from = prompt[0].tensors[0].begin() + row * kRowBytes;
    channel->Send(ready.sequence(), Bytes(from, from + kRowBytes));
  }
  EXPECT_TRUE(TestServer::Eventually([&] { return server.server().channel_messages() == 0; }));
}

TEST(ChannelLifecycleTest, APutMayWaitForItsChannelLongerThanForItsClient) {
  ServerOptions options = SmallServer();
  options.rpc.idle_timeout_ms = 1000;
  TestServer server(options);
  ChannelClient channel(server);
  ASSERT_TRUE(channel.Open(channel.Request()).ok());
  OpenPut put(server);
  put.client.Send(OnChannel(channel.channel_id(), 0, 0, 96));
  EXPECT_TRUE(TestServer::Eventually([&] { return server.server().channel_messages() == 1; }));
  server.clock().AdvanceMs(20'000);
  channel.Join();
  EXPECT_EQ(put.ReceiveReady().sequence(), 0);
}

TEST(ChannelLifecycleTest, ShutdownLetsPutsInProgressFinishThenEndsAllChannels) {
  ServerOptions options = SmallServer();
  options.grace_ms = 60'000;
  TestServer server(options);
  const auto channel = JoinedClient(server);
  const auto idle_channel = JoinedClient(server);
  OpenPut put(server);
  const Prompt prompt = MakePrompt(FullRequest());
  put.client.Send(OnChannel(channel->channel_id(), 0, 0, 96));
  EXPECT_EQ(put.ReceiveReady().sequence(), 0);
  std::thread shutdown([&server] { server.server().Shutdown(); });
  // Draining: what is new is refused, and the channel is there.
  EXPECT_TRUE(TestServer::Eventually([&] {
    return GetAll(server.channel(), GetRequestOf(FullRequest(9))).end.reason == "DRAINING";
  }));
  channel->Send(0, prompt[0].tensors[0]);
  put.client.SendRows(FullRequest(), prompt, 0, 1, 0, 96);
  for (int32_t layer = 1; layer < 3; ++layer) put.client.SendLayer(FullRequest(), prompt, layer, 96);
  put.client.SendCommit();
  EXPECT_TRUE(put.client.ReceiveCommitted().has_value());
  EXPECT_TRUE(put.client.Finish().ok());
  shutdown.join();
  EXPECT_EQ(server.server().channel_count(), 0);
}

TEST(ChannelLifecycleTest, ShutdownEndsPutsThatDoNotFinish) {
  ServerOptions options = SmallServer();
  options.grace_ms = 0;
  TestServer server(options);
  const auto channel = JoinedClient(server);
  OpenPut put(server);
  put.client.Send(OnChannel(channel->channel_id(), 0, 0, 96));
  put.ReceiveReady();
  server.server().Shutdown();
  EXPECT_FALSE(put.client.Finish().ok());
  EXPECT_EQ(server.server().channel_count(), 0);
  EXPECT_EQ(server.server().channel_messages(), 0);
}

}  // namespace
}  // namespace chunkkv
