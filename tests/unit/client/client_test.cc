// The client against the real server program: every call.
#include "chunkkv/client/client.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <numeric>
#include <thread>

#include "chunkkv/kernels/status.h"
#include "client/cli/server_process.h"
#include "tests/unit/client/toy_cache.h"

namespace chunkkv::client {
namespace {

using testing::ElementsAre;
using testing::Not;
using testing::SizeIs;

constexpr int64_t kTokens = 100;
constexpr int64_t kBudget = 40;

class ClientTest : public testing::Test {
 protected:
  void SetUp() override {
    auto server = cli::ServerProcess::Start(CHUNKKV_SERVER_PROGRAM, {});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    auto client = Client::Connect(server_->address());
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
  }

  PutResult Put(const ToyCache& cache, const PutRequest& request) {
    const auto result = client_->Put(request, cache.Arrays(request.score_source != ScoreSource::kNone));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.value_or(PutResult{});
  }

  CachedEntry Get(const GetRequest& request) {
    auto entry = client_->Get(request);
    EXPECT_TRUE(entry.ok()) << entry.status();
    return entry.ok() ? *std::move(entry) : CachedEntry{};
  }

  static GetRequest RequestFor(const PutRequest& put, Accept accept = Accept::LeastLossy()) {
    GetRequest request;
    request.model = put.model;
    request.prompt = put.prompt;
    request.accept = std::move(accept);
    return request;
  }

  // Every row of the entry is the cache's row at its kept position.
  static void ExpectRowsOf(const ToyCache& cache, const CachedEntry& entry) {
    for (const LayerView& layer : entry.layers) {
      if (layer.layer == kToyVerbatimLayer) {
        EXPECT_EQ(layer.tensors.at(0).bytes, AsBytes(cache.state));
        continue;
      }
      const std::vector<int32_t> positions = entry.PositionsOf(layer.layer);
      for (const TensorView& tensor : layer.tensors) {
        ASSERT_EQ(tensor.row_count, static_cast<int64_t>(positions.size()));
        for (size_t row = 0; row < positions.size(); ++row) {
          ASSERT_EQ(tensor.bytes.subspan(row * tensor.spec.row_bytes, tensor.spec.row_bytes),
                    cache.Row(layer.layer, tensor.spec.name, positions[row]))
              << tensor.spec.name << " of layer " << layer.layer << ", row " << row;
        }
      }
    }
  }

  // Nothing of a put or get is left once the server has learnt of its end.
  void ExpectAtRest() {
    ServerStats stats;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (std::chrono::steady_clock::now() < end) {
      const auto now = client_->GetStats();
      ASSERT_TRUE(now.ok()) << now.status();
      stats = *now;
      if (stats.active_sessions == 0 && stats.active_gets == 0 && stats.tiers.at(0).staging_bytes == 0) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ADD_FAILURE() << stats.active_sessions << " sessions, " << stats.active_gets << " gets, "
                  << stats.tiers.at(0).staging_bytes << " bytes staged";
  }

  std::unique_ptr<cli::ServerProcess> server_;
  std::unique_ptr<Client> client_;
};

TEST_F(ClientTest, PutsAndGetsAWholeCache) {
  const ToyCache cache(kTokens);
  const PutRequest put = cache.Request(Policy::kFull);
  const PutResult stored = Put(cache, put);
  EXPECT_FALSE(stored.already_stored);
  const CachedEntry entry = Get(RequestFor(put, Accept::Exact()));
  EXPECT_EQ(entry.header.entry_id, stored.entry_id);
  EXPECT_EQ(entry.header.token_count, kTokens);
  EXPECT_EQ(entry.header.next_position, kTokens);
  EXPECT_THAT(entry.layers, SizeIs(kToyLayers));
  ExpectRowsOf(cache, entry);
  ExpectAtRest();
}

TEST_F(ClientTest, GetsWhatCompactionKept) {
  const ToyCache cache(kTokens);
  const PutRequest put = cache.Request(Policy::kChunkKv);
  const PutResult stored = Put(cache, put);
  EXPECT_EQ(stored.outcome.budget, kBudget);
  EXPECT_THAT(stored.outcome.retained_mass, SizeIs(3));
  const CachedEntry entry = Get(RequestFor(put, Accept::Spec(put.spec)));
  EXPECT_THAT(entry.PositionsOf(0), SizeIs(kBudget));
  ExpectRowsOf(cache, entry);
  const auto exact = client_->Get(RequestFor(put, Accept::Exact()));
  EXPECT_TRUE(absl::IsNotFound(exact.status())) << exact.status();
  EXPECT_EQ(StatusReason(exact.status()), "ENTRY_NOT_FOUND");
}

TEST_F(ClientTest, SelectThenSendStoresTheSameAsSendAll) {
  const ToyCache cache(kTokens);
  PutRequest put = cache.Request(Policy::kChunkKv);
  Put(cache, put);
  const CachedEntry all = Get(RequestFor(put));
  put.prompt.tokens[0] += 1;  // another key
  put.send_mode = SendMode::kSelectThenSend;
  const PutResult selected = Put(cache, put);
  EXPECT_LT(selected.received_bytes, 40'000);
  const CachedEntry entry = Get(RequestFor(put));
  EXPECT_EQ(entry.header.positions, all.header.positions);
  ExpectRowsOf(cache, entry);
}

TEST_F(ClientTest, SelectThenSendOfAFullEntrySendsEverything) {
  const ToyCache cache(kTokens);
  PutRequest put = cache.Request(Policy::kFull);
  put.send_mode = SendMode::kSelectThenSend;
  Put(cache, put);
  ExpectRowsOf(cache, Get(RequestFor(put)));
}

TEST_F(ClientTest, StoresPositionsOfTheCallersOwnChoice) {
  const ToyCache cache(kTokens);
  PutRequest put = cache.Request(Policy::kExternal);
  put.spec.label = "every other token";
  const std::vector<std::vector<int32_t>> positions = {{0, 2, 4, 99}, {1, 3}, {50}};
  for (const auto& list : positions) put.group_row_counts.push_back(static_cast<int64_t>(list.size()));
  std::vector<LayerArrays> layers = cache.Arrays(false);
  std::vector<std::string> rows;
  rows.reserve(6);
  for (const int32_t layer : {0, 1, 3}) {
    for (const char* name : {"k", "v"}) {
      std::string& gathered = rows.emplace_back();
      for (const int32_t position : positions[layer == 3 ? 2 : layer]) {
        const auto row = cache.Row(layer, name, position);
        gathered.append(reinterpret_cast<const char*>(row.data()), row.size());
      }
      (name[0] == 'k' ? layers[layer].keys : layers[layer].values) = AsBytes(gathered);
    }
  }
  const auto stored = client_->Put(put, layers, {}, positions);
  ASSERT_TRUE(stored.ok()) << stored.status();
  const CachedEntry entry = Get(RequestFor(put));
  EXPECT_EQ(entry.header.positions, positions);
  ExpectRowsOf(cache, entry);
}

TEST_F(ClientTest, FeedsASessionPieceByPieceInAnyOrder) {
  const ToyCache cache(kTokens);
  PutRequest put = cache.Request(Policy::kChunkKv);
  put.order = PartOrder::kAny;
  auto session = client_->BeginPut(put);
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ((*session)->begun().budget, kBudget);
  for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{60, 100}, {0, 60}}) {
    for (const int32_t layer : {3, 0, 1}) {
      for (const PartTensor tensor : {PartTensor::kValues, PartTensor::kKeys}) {
        const auto all = AsBytes(tensor == PartTensor::kKeys ? cache.keys[layer] : cache.values[layer]);
        const size_t row_bytes = all.size() / kTokens;
        const auto status = (*session)->SendTokens(layer, tensor, begin, end,
                                                   all.subspan(begin * row_bytes, (end - begin) * row_bytes));
        ASSERT_TRUE(status.ok()) << status;
      }
    }
  }
  ASSERT_TRUE((*session)->SendBytes(kToyVerbatimLayer, PartTensor::kNamed, AsBytes(cache.state), "state").ok());
  for (const int32_t layer : {0, 1, 3}) {
    ASSERT_TRUE((*session)->SendBytes(layer, PartTensor::kQueries, AsBytes(cache.queries[layer])).ok());
  }
  const auto selection = (*session)->AwaitSelection(2);
  ASSERT_TRUE(selection.ok()) << selection.status();
  EXPECT_THAT(selection->positions, SizeIs(kBudget));
  const auto stored = (*session)->Commit();
  ASSERT_TRUE(stored.ok()) << stored.status();
  const CachedEntry entry = Get(RequestFor(put));
  EXPECT_EQ(entry.header.positions[2], selection->positions);
  ExpectRowsOf(cache, entry);
}

// A cache's first `row_count` rows as arrays of [heads, rows, size].
class HeadMajorArrays {
 public:
  HeadMajorArrays(const ToyCache& cache, bool with_queries, size_t row_count) : layers_(cache.Arrays(with_queries)) {
    turned_.reserve(2 * kToyLayers);
    for (int32_t layer = 0; layer < kToyLayers; ++layer) {
      if (layer == kToyVerbatimLayer) continue;
      layers_[layer].keys = Turn(cache.keys[layer], cache.token_count, row_count);
      layers_[layer].values = Turn(cache.values[layer], cache.token_count, row_count);
    }
  }
  const std::vector<LayerArrays>& layers() const { return layers_; }

 private:
  absl::Span<const std::byte> Turn(const std::vector<float>& source, size_t token_count, size_t row_count) {
    constexpr size_t kHeads = 2;
    const size_t head_size = source.size() / token_count / kHeads;
    std::vector<float>& turned = turned_.emplace_back(row_count * kHeads * head_size);
    for (size_t row = 0; row < row_count; ++row) {
      for (size_t head = 0; head < kHeads; ++head) {
        std::copy_n(&source[(row * kHeads + head) * head_size], head_size,
                    &turned[(head * row_count + row) * head_size]);
      }
    }
    return AsBytes(turned);
  }

  std::vector<LayerArrays> layers_;
  std::vector<std::vector<float>> turned_;
};

PutRequest HeadMajorRequest(const ToyCache& cache, Policy policy) {
  PutRequest put = cache.Request(policy);
  for (LayerRun& run : put.layout) {
    if (run.attention) run.attention->head_major_parts = true;
  }
  return put;
}

constexpr int64_t kTokensOfManyParts = 50'000;

TEST_F(ClientTest, TakesHeadMajorArrays) {
  const ToyCache cache(kTokensOfManyParts);
  const PutRequest put = HeadMajorRequest(cache, Policy::kFull);
  const HeadMajorArrays arrays(cache, /*with_queries=*/false, kTokensOfManyParts);
  const auto stored = client_->Put(put, arrays.layers());
  ASSERT_TRUE(stored.ok()) << stored.status();
  ExpectRowsOf(cache, Get(RequestFor(put)));
}

TEST_F(ClientTest, SelectsThenSendsRowsOfHeadMajorArrays) {
  const ToyCache cache(kTokensOfManyParts);
  PutRequest put = HeadMajorRequest(cache, Policy::kChunkKv);
  put.send_mode = SendMode::kSelectThenSend;
  const HeadMajorArrays arrays(cache, /*with_queries=*/true, kTokensOfManyParts);
  const auto stored = client_->Put(put, arrays.layers());
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ(stored->outcome.budget, kTokensOfManyParts * 2 / 5);
  ExpectRowsOf(cache, Get(RequestFor(put)));
}

TEST_F(ClientTest, StoresHeadMajorRowsOfTheCallersOwnChoice) {
  const ToyCache cache(kTokensOfManyParts);
  PutRequest put = HeadMajorRequest(cache, Policy::kExternal);
  put.spec.label = "the beginning";
  std::vector<int32_t> first_rows(20'000);
  std::iota(first_rows.begin(), first_rows.end(), 0);
  const std::vector<std::vector<int32_t>> positions(3, first_rows);
  put.group_row_counts.assign(3, first_rows.size());
  const HeadMajorArrays arrays(cache, /*with_queries=*/false, first_rows.size());
  const auto stored = client_->Put(put, arrays.layers(), {}, positions);
  ASSERT_TRUE(stored.ok()) << stored.status();
  ExpectRowsOf(cache, Get(RequestFor(put)));
}

TEST_F(ClientTest, CarriesPartsAndLayersOverSeveralConnections) {
  const ToyCache cache(30'000);
  PutRequest put = cache.Request(Policy::kFull);
  put.channel_count = 3;
  Put(cache, put);
  GetRequest request = RequestFor(put);
  request.channel_count = 3;
  const CachedEntry entry = Get(request);
  EXPECT_THAT(entry.layers, SizeIs(kToyLayers));
  ExpectRowsOf(cache, entry);
  ExpectAtRest();
}

TEST_F(ClientTest, SaysAtOnceWhatIsStoredAlready) {
  const ToyCache cache(kTokens);
  const PutRequest put = cache.Request(Policy::kFull);
  const PutResult first = Put(cache, put);
  const PutResult second = Put(cache, put);
  EXPECT_TRUE(second.already_stored);
  EXPECT_EQ(second.entry_id, first.entry_id);
  ExpectAtRest();
}

TEST_F(ClientTest, HandsLayersOverInOrder) {
  const ToyCache cache(kTokens);
  const PutRequest put = cache.Request(Policy::kFull);
  Put(cache, put);
  GetRequest request = RequestFor(put);
  std::vector<int32_t> layers;
  request.on_layer = [&](const LayerView& layer) {
    layers.push_back(layer.layer);
    return absl::OkStatus();
  };
  Get(request);
  EXPECT_THAT(layers, ElementsAre(0, 1, 2, 3));
}

TEST_F(ClientTest, ServesRangesOfLayersAndTokens) {
  const ToyCache cache(kTokens);
  PutRequest put = cache.Request(Policy::kFull);
  put.layout = {put.layout[0]};  // a VERBATIM layer's state is that of the whole prompt
  put.model.layer_count = 2;
  const std::vector<LayerArrays> arrays = cache.Arrays(false);
  ASSERT_TRUE(client_->Put(put, {arrays[0], arrays[1]}).ok());
  GetRequest request = RequestFor(put, Accept::Exact());
  request.layers = {1, 2};
  request.tokens = {10, 35};
  const CachedEntry entry = Get(request);
  ASSERT_THAT(entry.layers, SizeIs(1));
  EXPECT_EQ(entry.layers[0].layer, 1);
  EXPECT_EQ(entry.PositionsOf(1).front(), 10);
  EXPECT_EQ(entry.PositionsOf(1).back(), 34);
  ExpectRowsOf(cache, entry);
  request.tokens = {10, kTokens + 1};
  EXPECT_TRUE(absl::IsOutOfRange(client_->Get(request).status()));
}

TEST_F(ClientTest, ServesContiguousPositions) {
  const ToyCache cache(kTokens);
  const PutRequest put = cache.Request(Policy::kChunkKv);
  Put(cache, put);
  GetRequest request = RequestFor(put);
  request.position_mode = PositionMode::kContiguous;
  const CachedEntry turned = Get(request);
  const CachedEntry original = Get(RequestFor(put));
  EXPECT_TRUE(turned.header.keys_contiguous);
  EXPECT_EQ(turned.header.next_position, kBudget);
  EXPECT_EQ(turned.Find(0, "v")->bytes, original.Find(0, "v")->bytes);
  EXPECT_NE(turned.Find(0, "k")->bytes, original.Find(0, "k")->bytes);
}

TEST_F(ClientTest, PutsRowsIntoTheCallersMemory) {
  const ToyCache cache(kTokens);
  const PutRequest put = cache.Request(Policy::kFull);
  Put(cache, put);
  std::vector<std::byte> memory(1 << 20);
  size_t used = 0;
  GetRequest request = RequestFor(put);
  request.placement = [&](const TensorSpec&, int64_t, int64_t size_bytes) {
    std::byte* place = memory.data() + used;
    used += static_cast<size_t>(size_bytes);
    return place;
  };
  const CachedEntry entry = Get(request);
  EXPECT_EQ(entry.Find(0, "k")->bytes.data(), memory.data());
  EXPECT_EQ(entry.memory, nullptr);
  ExpectRowsOf(cache, entry);
}

TEST_F(ClientTest, WaitsForAPutThatHasNotBegun) {
  const ToyCache cache(kTokens);
  const PutRequest put = cache.Request(Policy::kFull);
  GetRequest request = RequestFor(put);
  request.wait = std::chrono::seconds(20);
  auto waiting = std::async(std::launch::async, [&] { return client_->Get(request); });
  Put(cache, put);
  const auto entry = waiting.get();
  ASSERT_TRUE(entry.ok()) << entry.status();
  ExpectRowsOf(cache, *entry);
}

TEST_F(ClientTest, EndsWaitsByCancellationAndByDeadline) {
  const ToyCache cache(kTokens);
  GetRequest request = RequestFor(cache.Request(Policy::kFull));
  request.wait = std::chrono::seconds(60);
  CallOptions options;
  options.cancellation = Cancellation();
  auto waiting = std::async(std::launch::async, [&] { return client_->Get(request, options); });
  options.cancellation->Cancel();
  EXPECT_TRUE(absl::IsCancelled(waiting.get().status()));
  options.cancellation.reset();
  options.timeout = std::chrono::milliseconds(30);
  EXPECT_TRUE(absl::IsDeadlineExceeded(client_->Get(request, options).status()));
  ExpectAtRest();
}

TEST_F(ClientTest, LeavesNothingOfAnAbandonedPut) {
  const ToyCache cache(kTokens);
  const PutRequest put = cache.Request(Policy::kFull);
  {
    auto session = client_->BeginPut(put);
    ASSERT_TRUE(session.ok()) << session.status();
    ASSERT_TRUE((*session)->SendTokens(0, PartTensor::kKeys, 0, kTokens, AsBytes(cache.keys[0])).ok());
  }
  ExpectAtRest();
  EXPECT_TRUE(absl::IsNotFound(client_->Get(RequestFor(put)).status()));
  Put(cache, put);
}

TEST_F(ClientTest, TellsWhyAPutWasRefused) {
  const ToyCache cache(kTokens);
  PutRequest put = cache.Request(Policy::kChunkKv);
  put.spec.keep_ratio = 1.5;
  const auto bad_ratio = client_->Put(put, cache.Arrays(true));
  EXPECT_TRUE(absl::IsInvalidArgument(bad_ratio.status())) << bad_ratio.status();
  EXPECT_EQ(StatusReason(bad_ratio.status()), "BAD_KEEP_RATIO");

  put = cache.Request(Policy::kChunkKv);
  put.spec.min_retained_mass = 0.999;
  const auto low_mass = client_->Put(put, cache.Arrays(true));
  EXPECT_EQ(low_mass.status().code(), absl::StatusCode::kFailedPrecondition) << low_mass.status();
  EXPECT_EQ(StatusReason(low_mass.status()), "LOW_RETAINED_MASS");

  put = cache.Request(Policy::kFull);
  const auto short_put = client_->BeginPut(put);
  ASSERT_TRUE(short_put.ok());
  EXPECT_TRUE(absl::IsInvalidArgument((*short_put)->Commit().status()));

  std::vector<LayerArrays> arrays = cache.Arrays(false);
  arrays[0].keys.remove_suffix(1);
  EXPECT_EQ(StatusReason(client_->Put(put, arrays).status()), "BAD_ARRAY");
  ExpectAtRest();
}

TEST_F(ClientTest, FindsTheLongestPrefix) {
  const ToyCache cache(128);
  PutRequest put = cache.Request(Policy::kFull);
  put.layout = {put.layout[0]};
  put.model.layer_count = 2;
  const std::vector<LayerArrays> arrays = cache.Arrays(false);
  const auto stored = client_->Put(put, {arrays[0], arrays[1]});
  ASSERT_TRUE(stored.ok()) << stored.status();
  PrefixQuery longer;
  longer.model = put.model;
  longer.prompt = put.prompt;
  longer.hold = std::chrono::seconds(5);
  longer.prompt.tokens.insert(longer.prompt.tokens.end(), 100, 7);
  PrefixQuery other = longer;
  other.prompt = put.prompt;
  other.prompt.tokens[0] += 1;
  const auto results = client_->FindLongestPrefix({longer, other});
  ASSERT_TRUE(results.ok()) << results.status();
  ASSERT_THAT(*results, SizeIs(2));
  EXPECT_TRUE((*results)[0].status.ok());
  EXPECT_EQ((*results)[0].covered_tokens, 128);
  ASSERT_THAT((*results)[0].entries, SizeIs(1));
  EXPECT_EQ((*results)[0].entries[0].entry_id, stored->entry_id);
  EXPECT_TRUE((*results)[0].lease_id.has_value());
  EXPECT_TRUE(absl::IsNotFound((*results)[1].status));
}

TEST_F(ClientTest, DescribesListsPinsAndDeletes) {
  const ToyCache cache(kTokens);
  const PutRequest put = cache.Request(Policy::kChunkKv);
  const PutResult stored = Put(cache, put);
  const EntrySelector by_id(stored.entry_id);
  const EntrySelector by_name(EntryName{put.model, {}, stored.key, stored.variant});
  const EntrySelector missing(Bytes16{1, 2, 3});

  const auto described = client_->Describe({by_id, missing, by_name}, /*with_positions=*/true);
  ASSERT_TRUE(described.ok()) << described.status();
  ASSERT_THAT(*described, SizeIs(3));
  ASSERT_TRUE((*described)[0].ok()) << (*described)[0].status();
  const EntryHeader& header = (*described)[0]->header;
  EXPECT_EQ(header.entry_id, stored.entry_id);
  EXPECT_EQ(header.outcome.budget, kBudget);
  ASSERT_THAT(header.positions, SizeIs(3));
  EXPECT_THAT(header.positions[0], SizeIs(kBudget));
  EXPECT_TRUE(absl::IsNotFound((*described)[1].status()));
  EXPECT_EQ((*described)[2]->header.entry_id, stored.entry_id);

  Put(cache, cache.Request(Policy::kFull));
  std::vector<Bytes16> listed;
  std::string token;
  do {
    const auto page = client_->List(1, token);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const EntryInfo& info : page->entries) listed.push_back(info.header.entry_id);
    token = page->next_page_token;
  } while (!token.empty());
  EXPECT_THAT(listed, SizeIs(2));
  EXPECT_THAT(listed, testing::Contains(stored.entry_id));

  const auto pins = client_->PinEntries({by_id}, std::chrono::seconds(30));
  ASSERT_TRUE(pins.ok() && (*pins)[0].ok());
  const auto refused = client_->Delete({by_id});
  ASSERT_TRUE(refused.ok());
  EXPECT_EQ(StatusReason((*refused)[0]), "PINNED");
  const auto unpinned = client_->Unpin({(*pins)[0]->id});
  ASSERT_TRUE(unpinned.ok() && (*unpinned)[0].ok());
  const auto deleted = client_->Delete({by_id});
  ASSERT_TRUE(deleted.ok() && (*deleted)[0].ok());
  TrimRequest trim;
  trim.fingerprint = stored.fingerprint;
  const auto trimmed = client_->Trim(trim);
  ASSERT_TRUE(trimmed.ok()) << trimmed.status();
  EXPECT_EQ(trimmed->removed_entries, 1);
}

TEST_F(ClientTest, WatchesWhatIsStoredAndRemoved) {
  const ToyCache cache(kTokens);
  const PutResult before = Put(cache, cache.Request(Policy::kFull));
  std::vector<WatchEvent::Kind> kinds;
  Bytes16 removed{};
  const absl::Status status = client_->Watch(0, [&](const WatchEvent& event) {
    kinds.push_back(event.kind);
    if (event.kind == WatchEvent::Kind::kSnapshotEnd) Put(cache, cache.Request(Policy::kChunkKv));
    if (event.kind == WatchEvent::Kind::kStored) client_->Delete({EntrySelector(before.entry_id)}).IgnoreError();
    if (event.kind != WatchEvent::Kind::kRemoved) return true;
    removed = event.entry ? event.entry->header.entry_id : Bytes16{};
    EXPECT_EQ(event.removal, WatchEvent::Removal::kDeleted);
    return false;
  });
  EXPECT_TRUE(status.ok()) << status;
  using Kind = WatchEvent::Kind;
  EXPECT_THAT(kinds, ElementsAre(Kind::kSnapshotBegin, Kind::kSnapshotEntry, Kind::kSnapshotEnd, Kind::kStored,
                                 Kind::kRemoved));
  EXPECT_EQ(removed, before.entry_id);
}

TEST_F(ClientTest, RecordsTheScoresThatPutsChoseBy) {
  const ToyCache cache(kTokens);
  const PutRequest request = cache.Request(Policy::kChunkKv);
  std::vector<RecordedScores> recorded;
  std::vector<int64_t> unscored;
  RecordRequest record;
  record.model = request.model;
  const absl::Status status = client_->RecordScores(
      record, [&](RecordedScores scores) { recorded.push_back(std::move(scores)); },
      [&] {
        PutRequest leaders = request;
        leaders.spec.reuse_group = 3;
        Put(cache, leaders);
        Put(cache, request);
      },
      [&](const SkippedPuts& skipped) { unscored.push_back(skipped.unscored); });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(unscored, ElementsAre(1));
  ASSERT_THAT(recorded, SizeIs(1));
  EXPECT_EQ(recorded[0].token_count, kTokens);
  EXPECT_THAT(recorded[0].layers, ElementsAre(0, 1, 3));

  // What was kept holds the share of them that the entry says.
  const CachedEntry entry = Get(RequestFor(request, Accept::Spec(request.spec)));
  ASSERT_THAT(entry.header.outcome.retained_mass, SizeIs(3));
  for (size_t i = 0; i < recorded[0].layers.size(); ++i) {
    const std::vector<float>& scores = recorded[0].token_scores[i];
    ASSERT_EQ(static_cast<int64_t>(scores.size()), kTokens - cache.window_length);
    double kept = 0;
    for (const int32_t position : entry.PositionsOf(recorded[0].layers[i])) {
      if (position < static_cast<int32_t>(scores.size())) kept += scores[position];
    }
    EXPECT_NEAR(kept / std::accumulate(scores.begin(), scores.end(), 0.0), entry.header.outcome.retained_mass[i].mass,
                1e-5);
  }
}

TEST_F(ClientTest, RefusesToRecordAModelThatNobodyKnows) {
  RecordRequest record;
  record.model = Bytes32{1};
  const absl::Status status = client_->RecordScores(record, [](const RecordedScores&) {});
  EXPECT_EQ(StatusReason(status), "MODEL_MISSING");
}

TEST_F(ClientTest, TellsWhatTheServerCanAndHolds) {
  const auto capabilities = client_->GetCapabilities();
  ASSERT_TRUE(capabilities.ok()) << capabilities.status();
  EXPECT_EQ(capabilities->protocol_version, "v1");
  EXPECT_THAT(capabilities->policies, testing::Contains(Policy::kChunkKv));
  const ToyCache cache(kTokens);
  const PutResult stored = Put(cache, cache.Request(Policy::kFull));
  const auto stats = client_->GetStats();
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_EQ(stats->entries, 1);
  EXPECT_EQ(stats->puts, 1);
  EXPECT_EQ(stats->stored_bytes, stored.stored_bytes);
  ASSERT_THAT(stats->tiers, Not(testing::IsEmpty()));
  EXPECT_EQ(stats->tiers[0].tier, Tier::kHost);
}

TEST_F(ClientTest, RunsTheExample) {
  const std::string command = std::string(CHUNKKV_EXAMPLE_PROGRAM) + " " + server_->address();
  EXPECT_EQ(std::system(command.c_str()), 0);
}

TEST(ConnectTest, SaysThatNobodyAnswers) {
  ConnectOptions options;
  options.connect_timeout = std::chrono::milliseconds(100);
  const auto client = Client::Connect("127.0.0.1:1", options);
  EXPECT_EQ(StatusReason(client.status()), "NOT_CONNECTED");
}

// --- Memory shared with the server ---

class SharedMemoryClientTest : public ClientTest {
 protected:
  void SetUp() override { Start(CHUNKKV_SERVER_PROGRAM, "--map-entries"); }
  void Start(const char* program, const std::string& option) {
    const std::string socket = testing::TempDir() + "chunkkv-client-" + std::to_string(getpid());
    auto server = cli::ServerProcess::Start(program, {"--local-socket", socket, option});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    auto client = Client::Connect(server_->address());
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
  }

};

// The cache's arrays, copied into `region`.
std::vector<LayerArrays> ArraysIn(Region& region, const ToyCache& cache) {
  std::vector<LayerArrays> arrays = cache.Arrays(true);
  std::byte* next = region.bytes().data();
  const auto move_in = [&](absl::Span<const std::byte>& bytes) {
    std::copy(bytes.begin(), bytes.end(), next);
    bytes = {next, bytes.size()};
    next += bytes.size();
  };
  for (LayerArrays& layer : arrays) {
    for (absl::Span<const std::byte>* bytes : {&layer.keys, &layer.values, &layer.queries}) {
      if (!bytes->empty()) move_in(*bytes);
    }
    for (auto& [name, bytes] : layer.named) move_in(bytes);
  }
  return arrays;
}

TEST_F(SharedMemoryClientTest, PutsFromARegionAndGetsIntoOneAndMapped) {
  const ToyCache cache(kTokens);
  PutRequest request = cache.Request(Policy::kChunkKv);
  auto region = client_->AllocateRegion(int64_t{4} << 20);
  ASSERT_TRUE(region.ok()) << region.status();
  const std::vector<LayerArrays> arrays = ArraysIn(**region, cache);
  const auto put = client_->Put(request, arrays);
  ASSERT_TRUE(put.ok()) << put.status();

  GetRequest get = RequestFor(request);
  const CachedEntry received = Get(get);
  ExpectRowsOf(cache, received);

  std::fill((*region)->bytes().begin(), (*region)->bytes().end(), std::byte{0});
  get.region = region->get();
  const CachedEntry written = Get(get);
  ExpectRowsOf(cache, written);
  EXPECT_GE(written.layers[0].tensors[0].bytes.data(), (*region)->bytes().data());
  EXPECT_LT(written.layers[0].tensors[0].bytes.data(), (*region)->bytes().data() + (*region)->bytes().size());
  get.region = nullptr;

  // The first one comes over gRPC, the second one on the local socket.
  for (const bool verify : {true, false}) {
    get.mapped = true;
    get.verify_mapped = verify;
    CachedEntry mapped = Get(get);
    ExpectRowsOf(cache, mapped);
    ASSERT_TRUE(client_->Delete({{EntrySelector(put->entry_id)}}).ok());
    ExpectRowsOf(cache, mapped);
    mapped = CachedEntry();
    ASSERT_TRUE(client_->Put(request, cache.Arrays(true)).ok());
  }
  const auto stats = client_->GetStats();
  ASSERT_TRUE(stats.ok());
  EXPECT_EQ(stats->active_sessions, 0);
}

TEST_F(SharedMemoryClientTest, TheExampleRuns) {
  const std::string command = std::string(CHUNKKV_SHARING_EXAMPLE_PROGRAM) + " " + server_->address();
  EXPECT_EQ(std::system(command.c_str()), 0);
}

TEST_F(SharedMemoryClientTest, AConnectionThatHasEndedIsNotAskedAgain) {
  ASSERT_TRUE(client_->AllocateRegion(4096).ok());
  server_->Kill();
  absl::Status status;
  for (int tries = 0; tries < 10'000; ++tries) {  // until the server's end is seen
    status = client_->AllocateRegion(4096).status();
    if (StatusReason(status) != "LOCAL_SOCKET") break;
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(StatusReason(status), "LOCAL_SOCKET");
}

TEST_F(SharedMemoryClientTest, AFailedPutLeavesItsRegionFree) {
  const ToyCache cache(kTokens);
  PutRequest request = cache.Request(Policy::kChunkKv);
  auto region = client_->AllocateRegion(int64_t{4} << 20);
  ASSERT_TRUE(region.ok()) << region.status();
  const std::vector<LayerArrays> arrays = ArraysIn(**region, cache);
  request.content_digest = Bytes16{1};  // of rows that are not all read
  EXPECT_EQ(StatusReason(client_->Put(request, arrays).status()), "CONTENT_DIGEST");
  request.content_digest.reset();
  EXPECT_TRUE(client_->Put(request, arrays).ok());
}

TEST_F(SharedMemoryClientTest, ARegionOfNoSizeOrBeyondTheMachineIsRefusedByName) {
  for (const int64_t size_bytes : {int64_t{0}, int64_t{-1}, int64_t{1} << 60}) {
    EXPECT_EQ(StatusReason(client_->AllocateRegion(size_bytes).status()), "BAD_REGION_SIZE");
  }
}

TEST_F(SharedMemoryClientTest, ARegionThatIsTooSmallIsRefusedByName) {
  const ToyCache cache(kTokens);
  const PutRequest request = cache.Request(Policy::kChunkKv);
  ASSERT_TRUE(client_->Put(request, cache.Arrays(true)).ok());
  auto region = client_->AllocateRegion(4096);
  ASSERT_TRUE(region.ok()) << region.status();
  GetRequest get = RequestFor(request);
  get.region = region->get();
  EXPECT_EQ(StatusReason(client_->Get(get).status()), "TARGET_TOO_SMALL");
}

// --- Memory of a device: the host stands for it, on both sides ---

enum DeviceAllocator { kCudaMalloc, kCuMemCreate, kCudaMallocAsync };

constexpr size_t kSegmentBytes = size_t{2} << 20;

// Allocations of kSegmentBytes, one behind the other.
std::byte* Allocate(DeviceAllocator allocator, int count) {
  void* const driver = dlopen("libcuda.so.1", RTLD_NOW);
  using Function = void* (*)(int kind, size_t bytes, int count);
  const auto allocate = reinterpret_cast<Function>(dlsym(driver, "HostCudaAllocate"));
  return static_cast<std::byte*>(allocate(allocator, kSegmentBytes, count));
}

class DeviceMemoryClientTest : public SharedMemoryClientTest {
 protected:
  void SetUp() override { Start(CHUNKKV_HOST_DEVICE_SERVER, "--device-regions"); }

};

TEST_F(DeviceMemoryClientTest, PutsFromItAndGetsIntoIt) {
  const ToyCache cache(kTokens);
  for (const auto& [allocator, count] : {std::pair(kCudaMalloc, 1), {kCuMemCreate, 1}, {kCuMemCreate, 2}}) {
    const PutRequest request = cache.Request(Policy::kChunkKv);
    // At no particular place in its allocations.
    const int64_t offset = count == 1 ? 40 : kSegmentBytes - 4096;
    const int64_t size = int64_t{1} << 20;
    std::byte* const memory = Allocate(allocator, count) + offset;
    auto region = client_->LendDeviceMemory(memory, size);
    ASSERT_TRUE(region.ok()) << region.status();
    const auto put = client_->Put(request, ArraysIn(**region, cache));
    ASSERT_TRUE(put.ok()) << put.status();
    GetRequest get = RequestFor(request);
    ExpectRowsOf(cache, Get(get));
    std::fill(memory, memory + size, std::byte{0});
    get.region = region->get();
    const CachedEntry written = Get(get);
    ExpectRowsOf(cache, written);
    EXPECT_EQ(static_cast<const void*>(written.layers[0].tensors[0].bytes.data()), memory);
    ASSERT_TRUE(client_->Delete({{EntrySelector(put->entry_id)}}).ok());
  }
}

TEST_F(DeviceMemoryClientTest, RefusesByNameWhatNobodyElseCanReach) {
  std::byte on_the_host[64];
  EXPECT_EQ(StatusReason(client_->LendDeviceMemory(on_the_host, 64).status()), "NOT_DEVICE_MEMORY");
  EXPECT_EQ(StatusReason(client_->LendDeviceMemory(Allocate(kCudaMallocAsync, 1), 64).status()), "NOT_EXPORTABLE");
  std::byte* const memory = Allocate(kCudaMalloc, 1);
  EXPECT_EQ(StatusReason(client_->LendDeviceMemory(memory, 0).status()), "BAD_REGION_SIZE");
  EXPECT_EQ(StatusReason(client_->LendDeviceMemory(memory, 2 * kSegmentBytes).status()), "NOT_EXPORTABLE");
  EXPECT_TRUE(client_->LendDeviceMemory(memory, kSegmentBytes).ok());
}

TEST_F(SharedMemoryClientTest, DeviceMemoryIsForServersThatTakeIt) {
  EXPECT_EQ(StatusReason(client_->LendDeviceMemory(Allocate(kCudaMalloc, 1), 4096).status()),
            "DEVICE_REGIONS_DISABLED");
}

TEST_F(ClientTest, WithoutALocalSocketNothingIsShared) {
  EXPECT_EQ(StatusReason(client_->AllocateRegion(4096).status()), "REGIONS_DISABLED");
  const ToyCache cache(kTokens);
  const PutRequest request = cache.Request(Policy::kChunkKv);
  Put(cache, request);
  GetRequest get = RequestFor(request);
  get.mapped = true;
  EXPECT_EQ(StatusReason(client_->Get(get).status()), "REGIONS_DISABLED");
}

}  // namespace
}  // namespace chunkkv::client
