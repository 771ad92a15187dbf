// How puts live and end: more streams, ends at every step, limits of time and room. Whatever happens, nothing is left.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/get_client.h"
#include "tests/support/put_client.h"
#include "tests/support/test_server.h"

namespace chunkkv {
namespace {

using grpc::StatusCode;

PutRequest Layers(int32_t layer_count) {
  PutRequest request = SmallRequest();
  request.layout = {AttentionLayers(0, layer_count)};
  request.model.layer_count = request.shard.layer_count = layer_count;
  return request;
}

PutRequest WithKey(uint8_t fill) {
  PutRequest request = SmallRequest();
  request.key.fill(fill);
  return request;
}

// A `full` entry of about `mebibytes`, in any order.
PutRequest Large(int64_t mebibytes) {
  PutRequest request = SmallRequest();
  request.spec = CompactionSpec();
  request.score_source = ScoreSource::kNone;
  request.order = PartOrder::kAny;
  request.token_count = (mebibytes << 20) / (3 * 2 * (8 + 4) * 4);
  return request;
}

TEST(PutLifecycleTest, TakesPartsOverAttachedStreams) {
  TestServer server;
  const PutRequest request = Layers(6);
  const Prompt prompt = MakePrompt(request);
  PutClient first(server.channel());
  const auto begun = first.Begin(request);
  ASSERT_TRUE(begun.has_value());
  PutClient second(server.NewChannel());
  ASSERT_TRUE(second.AttachAndWait(first, begun->session_id(), request, prompt, 1));
  std::thread other([&] {
    second.SendRows(request, prompt, 1, 1, 0, 96);
    for (int32_t layer = 3; layer < 6; layer += 2) second.SendLayer(request, prompt, layer, 20);
    second.stream().HalfClose();
    const RpcEnd end = second.Finish();
    EXPECT_TRUE(end.ok()) << end;
  });
  for (int32_t layer = 0; layer < 6; layer += 2) first.SendLayer(request, prompt, layer, 20);
  // While the second stream may still bring parts: the commit waits for it.
  first.SendCommit();
  EXPECT_TRUE(first.ReceiveCommitted().has_value());
  EXPECT_TRUE(first.Finish().ok());
  other.join();
  ExpectServed(GetAll(server.channel(), GetRequestOf(request)), request, prompt,
               ReferenceKept(request, prompt).positions);
  server.ExpectAtRest();
}

TEST(PutLifecycleTest, HoldsBackAStreamThatIsFarAhead) {
  TestServer server;
  const PutRequest request = Layers(12);
  const Prompt prompt = MakePrompt(request);
  PutClient first(server.channel());
  const auto begun = first.Begin(request);
  ASSERT_TRUE(begun.has_value());
  EXPECT_EQ(begun->max_open_layers(), 4);
  PutClient ahead(server.NewChannel());
  ASSERT_TRUE(ahead.AttachAndWait(first, begun->session_id(), request, prompt, 0));
  ahead.SendRows(request, prompt, 0, 1, 0, 96);
  // These layers cannot be taken before the first ones have been compacted.
  std::thread other([&] {
    for (int32_t layer = 6; layer < 12; ++layer) EXPECT_TRUE(ahead.SendLayer(request, prompt, layer, 20));
    ahead.stream().HalfClose();
    const RpcEnd end = ahead.Finish();
    EXPECT_TRUE(end.ok()) << end;
  });
  for (int32_t layer = 1; layer < 6; ++layer) first.SendLayer(request, prompt, layer, 20);
  first.SendCommit();
  const auto committed = first.ReceiveCommitted();
  ASSERT_TRUE(committed.has_value());
  const RpcEnd end = first.Finish();
  EXPECT_TRUE(end.ok()) << end;
  other.join();
  const int64_t layer_bytes = 96 * 2 * (8 + 4) * 4;
  EXPECT_LE(committed->peak_staging_bytes(), 4 * layer_bytes);
  ExpectServed(GetAll(server.channel(), GetRequestOf(request)), request, prompt,
               ReferenceKept(request, prompt).positions);
  server.ExpectAtRest();
}

// For a clock that runs far ahead of the server's threads.
ServerOptions WithoutRpcLimit() {
  ServerOptions options = SmallServer();
  options.rpc.max_rpc_ms = int64_t{1} << 40;
  return options;
}

// How `client` ends while time passes. Its session's end is the last that waits for time to pass: a status on its way
// to the client must not be overtaken.
RpcEnd FinishAsTimePasses(TestServer& server, PutClient& client, int64_t step_ms) {
  const bool has_session = server.server().session_count() > 0;
  std::atomic<bool> ended{false};
  std::thread clock([&] {
    while (!ended && (!has_session || server.server().session_count() > 0)) {
      server.clock().AdvanceMs(step_ms);
      std::this_thread::yield();
    }
  });
  const RpcEnd end = client.Finish();
  ended = true;
  clock.join();
  return end;
}

TEST(PutLifecycleTest, TakesTheCommitOnAnAttachedStream) {
  TestServer server;
  const PutRequest request = Layers(6);
  const Prompt prompt = MakePrompt(request);
  PutClient first(server.channel());
  const auto begun = first.Begin(request);
  ASSERT_TRUE(begun.has_value());
  PutClient second(server.NewChannel());
  ASSERT_TRUE(second.Attach(begun->session_id()));
  for (int32_t layer = 0; layer < 3; ++layer) first.SendLayer(request, prompt, layer, 20);
  for (int32_t layer = 3; layer < 6; ++layer) second.SendLayer(request, prompt, layer, 20);
  // Attaching is not answered: only now is it certain that the other stream is there.
  ASSERT_TRUE(first.ReceiveSelection(3).has_value());
  first.stream().HalfClose();
  second.SendCommit();
  EXPECT_TRUE(second.ReceiveCommitted().has_value());
  EXPECT_TRUE(first.ReceiveCommitted().has_value());
  EXPECT_TRUE(second.Finish().ok());
  EXPECT_TRUE(first.Finish().ok());
  server.ExpectAtRest();
}

TEST(PutLifecycleTest, NamesTheGapOfACommitOnAnAttachedStream) {
  TestServer server;
  const PutRequest request = Layers(3);
  const Prompt prompt = MakePrompt(request);
  PutClient first(server.channel());
  const auto begun = first.Begin(request);
  ASSERT_TRUE(begun.has_value());
  PutClient second(server.NewChannel());
  ASSERT_TRUE(second.Attach(begun->session_id()));
  second.SendLayer(request, prompt, 1, 20);
  ASSERT_TRUE(first.ReceiveSelection(1).has_value());
  second.SendCommit();
  first.SendLayer(request, prompt, 2, 20);  // also behind the commit: it is the other stream's
  first.stream().HalfClose();
  const RpcEnd end = first.Finish();
  EXPECT_EQ(end.code, StatusCode::INVALID_ARGUMENT) << end;
  EXPECT_EQ(end.reason, "LAYER_MISSING");
  EXPECT_EQ(second.Finish().reason, "LAYER_MISSING");
  server.ExpectAtRest();
}

TEST(PutLifecycleTest, EndsWhenAllStreamsHaveEndedWithoutACommit) {
  TestServer server;
  PutClient first(server.channel());
  const auto begun = first.Begin(SmallRequest());
  ASSERT_TRUE(begun.has_value());
  PutClient second(server.NewChannel());
  ASSERT_TRUE(second.Attach(begun->session_id()));
  first.stream().HalfClose();
  second.stream().HalfClose();
  EXPECT_EQ(first.Finish().reason, "NO_COMMIT");
  (void)second.Finish();  // OK, or the session's end: whichever half-close comes first
  server.ExpectAtRest();
}

TEST(PutLifecycleTest, CountsTimeWhileOneStreamWaitsForAnother) {
  TestServer server(WithoutRpcLimit());
  const PutRequest request = Layers(12);
  const Prompt prompt = MakePrompt(request);
  PutClient first(server.channel());
  const auto begun = first.Begin(request);
  ASSERT_TRUE(begun.has_value());
  PutClient silent(server.NewChannel());
  ASSERT_TRUE(silent.AttachAndWait(first, begun->session_id(), request, prompt, 0));
  first.SendLayer(request, prompt, 9, 96);  // waits for layers that the other stream may still bring
  const RpcEnd end = FinishAsTimePasses(server, first, 200);
  EXPECT_EQ(end.code, StatusCode::DEADLINE_EXCEEDED) << end;
  EXPECT_EQ(end.reason, "IDLE");
  EXPECT_EQ(silent.Finish().reason, "IDLE");
  server.ExpectAtRest();
}

TEST(PutLifecycleTest, EndsStreamsThatWaitForEachOther) {
  ServerOptions options = WithoutRpcLimit();
  options.rpc.idle_timeout_ms = options.rpc.max_rpc_ms;  // which would end them too, later
  TestServer server(options);
  const PutRequest request = Layers(12);
  const Prompt prompt = MakePrompt(request);
  PutClient client(server.channel());
  ASSERT_TRUE(client.Begin(request).has_value());
  client.SendLayer(request, prompt, 1, 96);
  client.SendLayer(request, prompt, 9, 96);  // layer 0 can never come after this
  const RpcEnd end = FinishAsTimePasses(server, client, 200);
  EXPECT_EQ(end.code, StatusCode::INVALID_ARGUMENT) << end;
  EXPECT_EQ(end.reason, "GAP");
  server.ExpectAtRest();
}

// Where a client may go away: after how many messages of a put, of 3 layers with 3 parts each.
class BrokenPutTest : public testing::TestWithParam<int> {};

TEST_P(BrokenPutTest, LeavesNothingBehind) {
  TestServer server;
  const PutRequest request = SmallRequest();
  const Prompt prompt = MakePrompt(request);
  {
    PutClient client(server.NewChannel());
    ASSERT_TRUE(client.Begin(request).has_value());
    int sent = 0;
    for (int32_t layer = 0; layer < 3; ++layer) {
      if (sent++ < GetParam()) client.SendScores(request, prompt, layer);
      for (size_t tensor = 0; tensor < 2; ++tensor) {
        if (sent++ < GetParam()) client.SendRows(request, prompt, layer, tensor, 0, 96);
      }
    }
    EXPECT_TRUE(TestServer::Eventually([&] { return server.server().session_count() == 1; }));
    client.stream().Cancel();
  }
  server.ExpectAtRest();
  EXPECT_EQ(server.store().Stats().entries, 0);
}

INSTANTIATE_TEST_SUITE_P(Steps, BrokenPutTest, testing::Range(0, 10));

TEST(PutLifecycleTest, EndsWithItsAttachedStream) {
  TestServer server;
  const PutRequest request = SmallRequest();
  PutClient first(server.channel());
  const auto begun = first.Begin(request);
  ASSERT_TRUE(begun.has_value());
  {
    PutClient second(server.NewChannel());
    const Prompt prompt = MakePrompt(request);
    ASSERT_TRUE(second.AttachAndWait(first, begun->session_id(), request, prompt, 1));
    second.SendRows(request, prompt, 1, 1, 0, 20);
    second.stream().Cancel();
  }
  const RpcEnd end = first.Finish();
  EXPECT_EQ(end.code, StatusCode::CANCELLED) << end;
  server.ExpectAtRest();
}

TEST(PutLifecycleTest, TellsAllStreamsOfTheFirstFailure) {
  TestServer server;
  const PutRequest request = SmallRequest();
  PutClient first(server.channel());
  const auto begun = first.Begin(request);
  ASSERT_TRUE(begun.has_value());
  PutClient second(server.NewChannel());
  ASSERT_TRUE(second.Attach(begun->session_id()));
  second.SendRows(request, MakePrompt(request), 0, 0, 0, 20);
  second.SendRows(request, MakePrompt(request), 0, 0, 0, 20);
  EXPECT_EQ(second.Finish().reason, "PARTS_OVERLAP");
  EXPECT_EQ(first.Finish().reason, "PARTS_OVERLAP");
  server.ExpectAtRest();
}

// A failure may come at any moment of a commit: neither stream may be held by a session that has ended.
TEST(PutLifecycleTest, LeavesNothingBehindWhereItFailsAsItIsCommitted) {
  TestServer server;
  const PutRequest request = SmallRequest();
  const Prompt prompt = MakePrompt(request);
  const auto other_channel = server.NewChannel();
  for (int round = 0; round < 300; ++round) {
    PutClient first(server.channel());
    const auto begun = first.Begin(request);
    ASSERT_TRUE(begun.has_value());
    PutClient second(other_channel);
    ASSERT_TRUE(second.Attach(begun->session_id()));
    second.SendRows(request, prompt, 0, 0, 0, 20);
    std::thread failing([&] { second.SendRows(request, prompt, 0, 0, 0, 20); });
    first.SendCommit();
    failing.join();
    EXPECT_FALSE(first.Finish().ok());
    EXPECT_FALSE(second.Finish().ok());
  }
  server.ExpectAtRest();
}

TEST(PutLifecycleTest, EndsWhenItsClientIsIdle) {
  TestServer server(WithoutRpcLimit());
  PutClient client(server.channel());
  const PutRequest request = SmallRequest();
  ASSERT_TRUE(client.Begin(request).has_value());
  client.SendRows(request, MakePrompt(request), 0, 0, 0, 20);
  // Small steps: a message that is just arriving must not be overtaken by all of the limit at once.
  const RpcEnd end = FinishAsTimePasses(server, client, 1000);
  EXPECT_EQ(end.code, StatusCode::DEADLINE_EXCEEDED) << end;
  EXPECT_EQ(end.reason, "IDLE");
  server.ExpectAtRest();
}

TEST(PutLifecycleTest, EndsWhenTheFirstMessageDoesNotCome) {
  TestServer server(WithoutRpcLimit());
  PutClient never(server.channel());
  const RpcEnd end = FinishAsTimePasses(server, never, 1000);
  EXPECT_EQ(end.code, StatusCode::DEADLINE_EXCEEDED) << end;
  EXPECT_EQ(end.reason, "IDLE");
  server.ExpectAtRest();
}

TEST(PutLifecycleTest, RefusesStreamsAboveTheLimit) {
  ServerOptions options = SmallServer();
  options.rpc.max_streams = 3;
  TestServer server(options);
  std::vector<std::unique_ptr<PutClient>> clients;
  for (uint8_t i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<PutClient>(server.channel()));
    ASSERT_TRUE(clients.back()->Begin(WithKey(i + 1)).has_value());
  }
  PutClient one_more(server.channel());
  EXPECT_FALSE(one_more.Begin(WithKey(9)).has_value());
  const RpcEnd end = one_more.Finish();
  EXPECT_EQ(end.code, StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(end.reason, "TOO_MANY_STREAMS");
  EXPECT_GT(end.retry_ms, 0);
  clients.clear();
  server.ExpectAtRest();
  EXPECT_TRUE(PutAll(server.channel(), WithKey(9), MakePrompt(WithKey(9))).committed.has_value());
}

TEST(PutLifecycleTest, RefusesAtBeginWhatDoesNotFit) {
  TestServer server;
  PutRequest first = Large(40);
  PutClient holder(server.channel());
  ASSERT_TRUE(holder.Begin(first).has_value());
  PutRequest second = Large(40);
  second.key.fill(2);
  PutClient refused(server.channel());
  EXPECT_FALSE(refused.Begin(second).has_value());
  const RpcEnd end = refused.Finish();
  EXPECT_EQ(end.code, StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(end.reason, "BUDGET");
  EXPECT_GT(end.retry_ms, 0);
  holder.stream().Cancel();
  holder.Finish();
  server.ExpectAtRest();
  PutClient again(server.channel());
  EXPECT_TRUE(again.Begin(second).has_value());
}

TEST(PutLifecycleTest, AnswersAlreadyStoredBeforeAnyByte) {
  TestServer server;
  const PutRequest request = SmallRequest();
  const PutResult first = PutAll(server.channel(), request, MakePrompt(request));
  ASSERT_TRUE(first.committed.has_value());
  const PutResult second = PutAll(server.channel(), request, MakePrompt(request, 2));
  EXPECT_TRUE(second.end.ok()) << second.end;
  ASSERT_TRUE(second.begun.has_value());
  ASSERT_TRUE(second.begun->has_already_stored());
  EXPECT_EQ(second.begun->already_stored().entry_id(), first.committed->entry_id());
  EXPECT_TRUE(second.begun->session_id().empty());
  server.ExpectAtRest();
}

TEST(PutLifecycleTest, FirstCommitWins) {
  TestServer server;
  const PutRequest request = SmallRequest();
  const Prompt prompts[] = {MakePrompt(request, 1), MakePrompt(request, 2)};
  PutClient clients[] = {PutClient(server.channel()), PutClient(server.channel())};
  for (PutClient& client : clients) ASSERT_TRUE(client.Begin(request).has_value());
  std::string entry_id;
  for (int i = 0; i < 2; ++i) {
    for (int32_t layer = 0; layer < 3; ++layer) clients[i].SendLayer(request, prompts[i], layer, 96);
    clients[i].SendCommit();
    const auto committed = clients[i].ReceiveCommitted();
    ASSERT_TRUE(committed.has_value());
    EXPECT_EQ(committed->already_stored(), i == 1);
    if (i == 0) entry_id = committed->entry_id();
    EXPECT_EQ(committed->entry_id(), entry_id);
    EXPECT_TRUE(clients[i].Finish().ok());
  }
  ExpectServed(GetAll(server.channel(), GetRequestOf(request)), request, prompts[0],
               ReferenceKept(request, prompts[0]).positions);
  server.ExpectAtRest();
}

TEST(PutLifecycleTest, CommitsForAClientThatKeepsItsStreamOpen) {
  TestServer server(SmallServer(), TestServer::Time::kReal);
  const PutRequest request = SmallRequest();
  const Prompt prompt = MakePrompt(request);
  PutClient client(server.channel());
  ASSERT_TRUE(client.Begin(request).has_value());
  for (int32_t layer = 0; layer < 3; ++layer) client.SendLayer(request, prompt, layer, 96);
  v1::PutCacheRequest commit;
  commit.mutable_commit();
  client.Send(commit);  // and no half-close
  EXPECT_TRUE(client.ReceiveCommitted().has_value());
  EXPECT_TRUE(client.Finish().ok());
  server.ExpectAtRest();
}

TEST(PutLifecycleTest, NamesALowerDurabilityThatWasAccepted) {
  TestServer server;
  const PutRequest request = SmallRequest();
  const Prompt prompt = MakePrompt(request);
  v1::Begin begin = BeginOf(request);
  begin.set_durability(v1::DURABILITY_SHARED);
  begin.set_accept_lower_durability(true);
  PutClient client(server.channel());
  ASSERT_TRUE(client.Begin(begin).has_value());
  for (int32_t layer = 0; layer < 3; ++layer) client.SendLayer(request, prompt, layer, 96);
  client.SendCommit();
  const auto committed = client.ReceiveCommitted();
  ASSERT_TRUE(committed.has_value());
  EXPECT_EQ(committed->durability(), v1::DURABILITY_MEMORY);
}

TEST(PutLifecycleTest, KeepsAPinUntilItsEnd) {
  TestServer server;
  PutRequest request = SmallRequest();
  request.pin_ms = 5000;
  ASSERT_TRUE(PutAll(server.channel(), request, MakePrompt(request)).committed.has_value());
  EXPECT_EQ(server.store().Stats().pins, 1);
  server.clock().AdvanceMs(5001);
  EXPECT_TRUE(TestServer::Eventually([&] { return server.store().Stats().pins == 0; }));
  server.ExpectAtRest();
}

}  // namespace
}  // namespace chunkkv
