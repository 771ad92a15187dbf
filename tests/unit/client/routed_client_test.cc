// The routed client against real server programs, and a name that the test resolves.
#include "chunkkv/client/routed_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "chunkkv/kernels/status.h"
#include "tests/unit/client/routed_cluster.h"

namespace chunkkv::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::SizeIs;

constexpr int64_t kTokens = 100;

class RoutedClientTest : public testing::Test {
 protected:
  void SetUp() override { Connect({kClusterName}); }

  void Connect(const std::vector<std::string>& addresses) {
    auto client = RoutedClient::Connect(addresses, cluster_.resolver().Options());
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
  }

  // Caches whose prompts `name` owns.
  std::vector<ToyCache> OwnedBy(const std::string& name, size_t count, int64_t tokens = kTokens) {
    std::vector<ToyCache> caches;
    for (uint32_t seed = 1; caches.size() < count; ++seed) {
      ToyCache cache(tokens, seed);
      if (client_->OrderOf(KeyOf(cache)).front() == name) caches.push_back(std::move(cache));
    }
    return caches;
  }

  absl::StatusOr<PutResult> Put(const ToyCache& cache) { return PutInto(*client_, cache); }

  void ExpectServed(const ToyCache& cache) {
    const auto entry = client_->Get(GetOf(cache));
    ASSERT_TRUE(entry.ok()) << entry.status();
    EXPECT_TRUE(IsWhole(*entry, cache));
  }

  // Until the client, which resolves in its background, has taken over what the name has now.
  void Settle() {
    while (client_->Replicas() != cluster_.Addresses()) std::this_thread::yield();
  }

  RoutedCluster cluster_;
  std::unique_ptr<RoutedClient> client_;
};

TEST_F(RoutedClientTest, EveryCallGoesToTheOwner) {
  const std::vector<std::string> names = client_->Replicas();
  ASSERT_THAT(names, SizeIs(2));
  const std::vector<ToyCache> first = OwnedBy(names[0], 2), second = OwnedBy(names[1], 1);
  for (const ToyCache* cache : {&first[0], &first[1], &second[0]}) {
    const auto result = Put(*cache);
    ASSERT_TRUE(result.ok()) << result.status();
    ExpectServed(*cache);
    const auto info = client_->Describe(KeyOf(*cache), {{EntrySelector(result->entry_id)}}, false);
    ASSERT_TRUE(info.ok() && info->front().ok());
    EXPECT_EQ(info->front()->header.entry_id, result->entry_id);
  }
  const auto listed = client_->List();
  EXPECT_THAT(*listed.at(names[0]), SizeIs(2));
  EXPECT_THAT(*listed.at(names[1]), SizeIs(1));
  EXPECT_EQ(client_->GetStats().at(names[1])->entries, 1);

  std::vector<PrefixQuery> queries;
  for (const ToyCache* cache : {&second[0], &first[1]}) {
    PrefixQuery query;
    query.model = cache->Request(Policy::kFull).model;
    query.prompt = cache->Request(Policy::kFull).prompt;
    queries.push_back(query);
  }
  const auto found = client_->FindLongestPrefix(queries);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ((*found)[0].covered_tokens, kTokens);
  EXPECT_EQ((*found)[1].covered_tokens, kTokens);

  const EntrySelector selector((*found)[0].entries.at(0).entry_id);
  const auto pins = client_->PinEntries(KeyOf(second[0]), {{selector}}, std::chrono::minutes(1));
  ASSERT_TRUE(pins.ok() && pins->front().ok());
  EXPECT_TRUE(client_->Unpin({{pins->front()->id}})->front().ok());
  EXPECT_TRUE(client_->Delete(KeyOf(second[0]), {{selector}})->front().ok());
  EXPECT_TRUE(absl::IsNotFound(client_->Get(GetOf(second[0])).status()));
}

TEST_F(RoutedClientTest, ALostReplicasPutsLandOnTheNext) {
  const std::vector<std::string> names = client_->Replicas();
  const std::vector<ToyCache> lost = OwnedBy(names[0], 2), kept = OwnedBy(names[1], 1);
  ASSERT_TRUE(Put(lost[0]).ok() && Put(kept[0]).ok());
  cluster_.Stop(names[0]);
  const auto result = Put(lost[1]);
  ASSERT_TRUE(result.ok()) << result.status();
  ExpectServed(lost[1]);
  ExpectServed(kept[0]);
  EXPECT_TRUE(absl::IsNotFound(client_->Get(GetOf(lost[0])).status()));
  EXPECT_EQ(client_->OrderOf(KeyOf(lost[0])).front(), names[1]);
}

TEST_F(RoutedClientTest, AFailedReplicaStandsBackLongerEachTime) {
  const std::string running = cluster_.Addresses()[0], lost = "127.0.0.1:9";
  Connect({running, lost});
  const ToyCache cache = std::move(OwnedBy(lost, 1).front());
  for (const seconds interval : {seconds(1), seconds(2), seconds(4)}) {
    EXPECT_EQ(client_->OrderOf(KeyOf(cache)).front(), lost);
    ASSERT_TRUE(Put(cache).ok());
    cluster_.resolver().Advance(interval - milliseconds(1));
    EXPECT_EQ(client_->OrderOf(KeyOf(cache)).front(), running);
    cluster_.resolver().Advance(milliseconds(1));
  }
}

TEST_F(RoutedClientTest, NamesAreResolvedAgainWhenOldAndAfterAFailure) {
  ASSERT_THAT(client_->Replicas(), SizeIs(2));
  cluster_.Start();
  EXPECT_THAT(client_->Replicas(), SizeIs(2));
  cluster_.resolver().Advance(seconds(5));
  Settle();
  EXPECT_EQ(cluster_.resolver().resolutions(), 2);
  cluster_.resolver().Advance(milliseconds(1500));
  for (const std::string& address : cluster_.Addresses()) cluster_.Stop(address);
  const std::string other = cluster_.Start();
  const ToyCache cache(kTokens);
  const auto result = Put(cache);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(client_->Replicas(), ElementsAre(other));
}

TEST_F(RoutedClientTest, NoCallWaitsForAResolverThatHangs) {
  const ToyCache cache(kTokens);
  ASSERT_TRUE(Put(cache).ok());
  cluster_.resolver().Hang(true);
  cluster_.resolver().Advance(seconds(60));
  client_->Replicas();
  cluster_.resolver().AwaitHanging();
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 20; ++i) ExpectServed(cache);
  EXPECT_THAT(client_->GetStats(), SizeIs(2));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(8));  // of 20 times half a second
  for (const std::string& address : cluster_.Addresses()) cluster_.Kill(address);
  EXPECT_TRUE(absl::IsUnavailable(client_->Get(GetOf(cache)).status())) << "after a moment";
  client_.reset();
  EXPECT_TRUE(cluster_.resolver().IsInside());
}

TEST_F(RoutedClientTest, ANameThatNeverAnswered) {
  cluster_.resolver().Hang(true);
  Connect({kClusterName});
  cluster_.resolver().AwaitHanging();
  RoutedOptions options = cluster_.resolver().Options();
  options.now = std::chrono::steady_clock::now;
  client_ = *RoutedClient::Connect({kClusterName}, options);
  CallOptions call;
  call.timeout = milliseconds(30);
  const absl::Status status = client_->Get(GetOf(ToyCache(kTokens)), call).status();
  EXPECT_EQ(StatusReason(status), "NO_REPLICAS");
  EXPECT_THAT(status.message(), testing::HasSubstr("kv.test:7421: is being resolved"));
  call.cancellation.emplace();
  call.cancellation->Cancel();
  EXPECT_TRUE(absl::IsCancelled(client_->Get(GetOf(ToyCache(kTokens)), call).status()));
}

TEST_F(RoutedClientTest, AWaitAndATimeoutAreOfTheWholeCall) {
  const std::string first = client_->Replicas()[0];
  const ToyCache cache = std::move(OwnedBy(first, 1).front());
  const auto direct = Client::Connect(first);
  ASSERT_TRUE(direct.ok());
  absl::Status status;
  std::thread waiting([&] {
    GetRequest request = GetOf(cache);
    request.wait = std::chrono::minutes(10);
    status = client_->Get(request).status();
  });
  while ((*direct)->GetStats()->active_gets == 0) std::this_thread::yield();
  cluster_.resolver().Advance(std::chrono::minutes(10));
  cluster_.Kill(first);
  waiting.join();  // the next replica does not wait for another ten minutes
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
}

TEST_F(RoutedClientTest, AGetWhoseReplicaIsKilledHalfway) {
  constexpr int64_t kManyTokens = 400'000;  // 38 MB a layer: more than is under way
  const std::string first = client_->Replicas()[0];
  const ToyCache cache = std::move(OwnedBy(first, 1, kManyTokens).front());
  ASSERT_TRUE(Put(cache).ok());
  GetRequest request = GetOf(cache);
  std::vector<int32_t> layers;
  request.on_layer = [&](const LayerView& layer) {
    if (layers.empty()) cluster_.Kill(first);
    layers.push_back(layer.layer);
    EXPECT_EQ(layer.tensors[0].bytes, AsBytes(cache.keys[layer.layer]));
    return absl::OkStatus();
  };
  EXPECT_TRUE(absl::IsUnavailable(client_->Get(request).status())) << "the next one would hand on layer 0 again";
  EXPECT_THAT(layers, ElementsAre(0));
  EXPECT_NE(client_->OrderOf(KeyOf(cache)).front(), first);
  EXPECT_TRUE(absl::IsNotFound(client_->Get(request).status()));
}

TEST_F(RoutedClientTest, AGetThatHandedOnNothingGoesOnToTheNext) {
  constexpr int64_t kManyTokens = 400'000;
  const std::string first = client_->Replicas()[0], second = client_->Replicas()[1];
  const ToyCache cache = std::move(OwnedBy(first, 1, kManyTokens).front());
  for (const std::string& address : {first, second}) {
    const auto direct = Client::Connect(address);
    ASSERT_TRUE((*direct)->Put(cache.Request(Policy::kFull), cache.Arrays(false)).ok());
  }
  std::vector<std::vector<std::byte>> memory;
  GetRequest request = GetOf(cache);
  request.placement = [&](const TensorSpec&, int64_t, int64_t size) {
    if (memory.size() == 1) cluster_.Kill(first);  // the header is there, nothing was handed on
    return memory.emplace_back(size).data();
  };
  const auto entry = client_->Get(request);
  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_TRUE(IsWhole(*entry, cache));
  EXPECT_EQ(client_->OrderOf(KeyOf(cache)).front(), second);
}

TEST_F(RoutedClientTest, LeasesEndWhereTheyAreAndEveryReplicaIsTrimmed) {
  const std::vector<std::string> names = client_->Replicas();
  std::vector<Bytes16> pins;
  for (const std::string& name : names) {
    const ToyCache cache = std::move(OwnedBy(name, 1).front());
    const auto result = Put(cache);
    ASSERT_TRUE(result.ok());
    const auto pinned = client_->PinEntries(KeyOf(cache), {{EntrySelector(result->entry_id)}}, std::chrono::minutes(1));
    pins.push_back(pinned->front()->id);
  }
  pins.push_back(Bytes16{});
  const auto ended = client_->Unpin(pins);
  ASSERT_TRUE(ended.ok() && ended->size() == 3);
  EXPECT_TRUE((*ended)[0].ok() && (*ended)[1].ok());
  EXPECT_TRUE(absl::IsNotFound((*ended)[2]));
  cluster_.Stop(names[0]);
  TrimRequest trim;
  trim.fingerprint = Fingerprint(ToyCache(kTokens).Request(Policy::kFull).model);
  const auto trimmed = client_->Trim(trim);
  EXPECT_TRUE(absl::IsUnavailable(trimmed.at(names[0]).status()));
  EXPECT_EQ(trimmed.at(names[1])->removed_entries, 1);
  EXPECT_EQ(client_->GetCapabilities().at(names[1])->protocol_version, "v1");
  EXPECT_TRUE(absl::IsUnavailable((*client_->Unpin(pins))[2])) << "the one that is lost may have had it";
}

TEST_F(RoutedClientTest, ASessionOutlivesItsReplicasNameAndClient) {
  const ToyCache cache = std::move(OwnedBy(client_->Replicas()[0], 1).front());
  const PutRequest request = cache.Request(Policy::kFull);
  auto session = client_->BeginPut(request);
  ASSERT_TRUE(session.ok()) << session.status();
  client_.reset();
  for (int32_t layer = 0; layer < kToyLayers; ++layer) {
    if (layer == kToyVerbatimLayer) {
      ASSERT_TRUE((*session)->SendBytes(layer, PartTensor::kNamed, AsBytes(cache.state), "state").ok());
      continue;
    }
    ASSERT_TRUE((*session)->SendTokens(layer, PartTensor::kKeys, 0, kTokens, AsBytes(cache.keys[layer])).ok());
    ASSERT_TRUE((*session)->SendTokens(layer, PartTensor::kValues, 0, kTokens, AsBytes(cache.values[layer])).ok());
  }
  const auto result = (*session)->Commit();
  EXPECT_TRUE(result.ok()) << result.status();
}

TEST_F(RoutedClientTest, RefusesWhatIsOfOneServer) {
  GetRequest request = GetOf(ToyCache(kTokens));
  request.mapped = true;
  EXPECT_TRUE(absl::IsInvalidArgument(client_->Get(request).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(RoutedClient::Connect({}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(RoutedClient::Connect({"name"}).status()));
}

}  // namespace
}  // namespace chunkkv::client
