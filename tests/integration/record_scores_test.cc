// RecordScores tells the token scores of coming puts, of the caller's model, and of nothing else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "chunkkv/v1/scores.pb.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_identity.h"
#include "tests/support/put_client.h"
#include "tests/support/test_server.h"

namespace chunkkv {
namespace {

v1::RecordScoresRequest RequestFor(const PutRequest& put, int32_t put_count) {
  v1::RecordScoresRequest request;
  rpc::ToWire(put.model, request.mutable_model());
  request.set_put_count(put_count);
  return request;
}

class Recorder {
 public:
  Recorder(TestServer& server, const v1::RecordScoresRequest& request) : stream_(server.channel(), "RecordScores") {
    stream_.Send(request);
    stream_.HalfClose();
  }
  // Empty at the end.
  std::optional<v1::RecordScoresResponse> Next() {
    const auto bytes = stream_.Receive();
    if (!bytes.has_value()) return std::nullopt;
    v1::RecordScoresResponse response;
    EXPECT_TRUE(response.ParseFromString(*bytes));
    return response;
  }
  // Whether the server listens now.
  bool IsRecording() {
    const auto first = Next();
    return first.has_value() && first->has_recording();
  }
  // Scores of all layers of the put that comes next.
  std::vector<std::vector<float>> NextPut(v1::RecordScoresResponse::RecordedPut* put = nullptr) {
    const auto head = Next();
    if (!head.has_value() || !head->has_put()) return {};
    if (put != nullptr) *put = head->put();
    std::vector<std::vector<float>> layers(head->put().layer_count());
    for (size_t layer = 0; layer < layers.size();) {
      const auto part = Next();
      if (!part.has_value() || !part->has_layer()) return {};
      EXPECT_EQ(part->layer().layer(), static_cast<int32_t>(layer));
      EXPECT_EQ(part->layer().begin(), static_cast<int64_t>(layers[layer].size()));
      const std::string& bytes = part->layer().token_scores();
      const size_t begin = layers[layer].size();
      layers[layer].resize(begin + bytes.size() / sizeof(float));
      std::memcpy(layers[layer].data() + begin, bytes.data(), bytes.size());
      if (static_cast<int64_t>(layers[layer].size()) == head->put().score_count()) ++layer;
    }
    return layers;
  }
  RpcEnd Finish() { return stream_.Finish(); }

 private:
  RawStream stream_;
};

// Its token scores are known: they are what is sent.
PutRequest ScoredRequest(uint8_t key = 1) {
  PutRequest request = SmallRequest();
  request.score_source = ScoreSource::kTokenScores;
  request.key.fill(key);
  return request;
}

std::vector<std::vector<float>> SentScores(const Prompt& prompt) {
  std::vector<std::vector<float>> layers;
  for (const PromptLayer& layer : prompt) {
    if (layer.token_scores.empty()) continue;  // VERBATIM
    std::vector<float>& scores = layers.emplace_back(layer.token_scores.size() / sizeof(float));
    std::memcpy(scores.data(), layer.token_scores.data(), layer.token_scores.size());
  }
  return layers;
}

TEST(RecordScoresTest, TellsTheScoresOfAsManyPutsAsWereAskedFor) {
  TestServer server;
  PutRequest first = ScoredRequest(1);
  first.layout = {AttentionLayers(0, 1), VerbatimLayers(1, 1), AttentionLayers(2, 2)};
  first.model.layer_count = first.shard.layer_count = 4;
  PutRequest second = first;
  second.key.fill(2);
  Recorder recorder(server, RequestFor(first, 2));
  ASSERT_TRUE(recorder.IsRecording());
  const Prompt prompt = MakePrompt(first, 1);
  const Prompt other = MakePrompt(second, 2);
  ASSERT_TRUE(PutAll(server.channel(), first, prompt).committed.has_value());
  ASSERT_TRUE(PutAll(server.channel(), second, other).committed.has_value());

  v1::RecordScoresResponse::RecordedPut put;
  EXPECT_EQ(recorder.NextPut(&put), SentScores(prompt));
  EXPECT_EQ(put.token_count(), first.token_count);
  EXPECT_THAT(put.layers(), testing::ElementsAre(0, 2, 3));
  EXPECT_EQ(put.spec().max_tokens(), *first.spec.max_tokens);
  EXPECT_EQ(recorder.NextPut(), SentScores(other));
  EXPECT_FALSE(recorder.Next().has_value());
  EXPECT_TRUE(recorder.Finish().ok());
  server.ExpectAtRest();
}

TEST(RecordScoresTest, ScoresOfQueriesAreThoseThatChose) {
  TestServer server;
  const PutRequest request = SmallRequest();
  Recorder recorder(server, RequestFor(request, 1));
  ASSERT_TRUE(recorder.IsRecording());
  const Prompt prompt = MakePrompt(request);
  const PutResult put = PutAll(server.channel(), request, prompt);
  const std::vector<std::vector<float>> scores = recorder.NextPut();
  ASSERT_EQ(scores.size(), 3U);

  // Put again from what was recorded, the same positions are kept.
  const PutRequest again = ScoredRequest(9);
  Prompt same = prompt;
  for (size_t layer = 0; layer < same.size(); ++layer) {
    same[layer].queries.clear();
    same[layer].token_scores.resize(scores[layer].size() * sizeof(float));
    std::memcpy(same[layer].token_scores.data(), scores[layer].data(), same[layer].token_scores.size());
  }
  const PutResult repeated = PutAll(server.channel(), again, same);
  ASSERT_TRUE(put.end.ok() && repeated.end.ok()) << put.end << repeated.end;
  for (int32_t group = 0; group < 3; ++group) {
    const auto& kept = put.selections.at(group).positions();
    const auto& kept_again = repeated.selections.at(group).positions();
    EXPECT_TRUE(std::ranges::equal(kept, kept_again)) << group;
  }
}

TEST(RecordScoresTest, LeavesOutPutsOfLeadersAndSaysSo) {
  TestServer server;
  PutRequest leaders = ScoredRequest(1);
  leaders.spec.reuse_group = 2;
  Recorder recorder(server, RequestFor(leaders, 1));
  ASSERT_TRUE(recorder.IsRecording());
  ASSERT_TRUE(PutAll(server.channel(), leaders, MakePrompt(leaders)).committed.has_value());
  const auto skipped = recorder.Next();
  ASSERT_TRUE(skipped.has_value() && skipped->has_skipped());
  EXPECT_EQ(skipped->skipped().unscored(), 1);

  PutRequest together = ScoredRequest(2);
  together.spec.reuse_group = 3;
  together.spec.group_score = GroupScore::kSum;
  const Prompt prompt = MakePrompt(together);
  ASSERT_TRUE(PutAll(server.channel(), together, prompt).committed.has_value());
  EXPECT_EQ(recorder.NextPut(), SentScores(prompt));
}

TEST(RecordScoresTest, PutsThatFailAndOtherModelsAreNotRecorded) {
  TestServer server;
  const PutRequest request = ScoredRequest(1);
  Recorder recorder(server, RequestFor(request, 1));
  ASSERT_TRUE(recorder.IsRecording());

  PutRequest other_model = ScoredRequest(2);
  other_model.model.name += "-b";
  ASSERT_TRUE(PutAll(server.channel(), other_model, MakePrompt(other_model)).committed.has_value());
  {
    const Prompt prompt = MakePrompt(request, 3);
    PutClient abandoned(server.channel());
    ASSERT_TRUE(abandoned.Begin(request).has_value());
    for (int32_t layer = 0; layer < 3; ++layer) ASSERT_TRUE(abandoned.SendLayer(request, prompt, layer, 96));
    ASSERT_TRUE(abandoned.ReceiveSelection(2).has_value());
  }
  const Prompt prompt = MakePrompt(request, 4);
  ASSERT_TRUE(PutAll(server.channel(), request, prompt).committed.has_value());
  EXPECT_EQ(recorder.NextPut(), SentScores(prompt));
  EXPECT_TRUE(recorder.Finish().ok());
  server.ExpectAtRest();
}

TEST(RecordScoresTest, LongListsComeInPieces) {
  TestServer server;
  PutRequest request = ScoredRequest();
  request.token_count = 70'000;
  request.spec.max_tokens = 64;
  for (LayerRun& run : request.layout) run.attention->kv_head_count = run.attention->query_head_count = 1;
  Recorder recorder(server, RequestFor(request, 1));
  ASSERT_TRUE(recorder.IsRecording());
  const Prompt prompt = MakePrompt(request);
  const PutResult put = PutAll(server.channel(), request, prompt, /*part_tokens=*/8192);
  ASSERT_TRUE(put.committed.has_value()) << put.end;
  EXPECT_EQ(recorder.NextPut(), SentScores(prompt));
}

TEST(RecordScoresTest, ASlowListenerGetsTheLastPut) {
  TestServer server;
  PutRequest request = ScoredRequest();
  request.token_count = 60'000;  // each layer's scores are more than a connection takes unread
  request.spec.max_tokens = 64;
  for (LayerRun& run : request.layout) run.attention->kv_head_count = run.attention->query_head_count = 1;
  Recorder recorder(server, RequestFor(request, 1));
  ASSERT_TRUE(recorder.IsRecording());
  ASSERT_TRUE(PutAll(server.channel(), request, MakePrompt(request), /*part_tokens=*/8192).committed.has_value());
  ASSERT_TRUE(recorder.Next().value().has_put());
  ASSERT_EQ(recorder.Next().value().layer().layer(), 0);
  // All has been said, and the listener thinks for a while.
  EXPECT_TRUE(TestServer::Eventually([&] {
    const StoreStats stats = server.store().Stats();
    return stats.used_bytes == stats.entry_bytes;
  }));
  server.clock().AdvanceMs(10'000);
  EXPECT_EQ(recorder.Next().value().layer().layer(), 1);
  EXPECT_EQ(recorder.Next().value().layer().layer(), 2);
  EXPECT_TRUE(recorder.Finish().ok());
}

TEST(RecordScoresTest, PutsOfWhatIsStoredAreCounted) {
  TestServer server;
  const PutRequest request = ScoredRequest();
  const Prompt prompt = MakePrompt(request);
  ASSERT_TRUE(PutAll(server.channel(), request, prompt).committed.has_value());
  Recorder recorder(server, RequestFor(request, 1));
  ASSERT_TRUE(recorder.IsRecording());
  ASSERT_TRUE(PutAll(server.channel(), request, prompt).begun->has_already_stored());
  const auto skipped = recorder.Next();
  ASSERT_TRUE(skipped.has_value() && skipped->has_skipped());
  EXPECT_EQ(skipped->skipped().already_stored(), 1);
}

TEST(RecordScoresTest, AListenerThatLeavesCostsNothing) {
  TestServer server;
  const PutRequest request = ScoredRequest();
  {
    Recorder recorder(server, RequestFor(request, 9));
    ASSERT_TRUE(recorder.IsRecording());
    ASSERT_TRUE(PutAll(server.channel(), request, MakePrompt(request)).committed.has_value());
  }
  server.ExpectAtRest();
}

TEST(RecordScoresTest, RefusesBadRequests) {
  TestServer server;
  const PutRequest put = ScoredRequest();
  const auto end_of = [&](const v1::RecordScoresRequest& request) {
    Recorder recorder(server, request);
    EXPECT_FALSE(recorder.Next().has_value());
    return recorder.Finish();
  };
  for (const int32_t count : {0, -1, 65537}) {
    const RpcEnd end = end_of(RequestFor(put, count));
    EXPECT_EQ(end.code, grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(end.reason, "BAD_PUT_COUNT");
  }
  v1::RecordScoresRequest no_model;
  no_model.set_put_count(1);
  EXPECT_EQ(end_of(no_model).reason, "MODEL_MISSING");
  v1::RecordScoresRequest unknown;
  unknown.set_put_count(1);
  unknown.set_fingerprint(std::string(32, 'x'));
  EXPECT_EQ(end_of(unknown).reason, "MODEL_MISSING");
  v1::RecordScoresRequest feature = RequestFor(put, 1);
  feature.add_required_features("telepathy");
  EXPECT_EQ(end_of(feature).reason, "FEATURE");
}

}  // namespace
}  // namespace chunkkv
