// Finding, describing, listing, pinning, removing, and what a server says of itself.
#include <gtest/gtest.h>

#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "service/rpc/rpc_limits.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_identity.h"
#include "tests/support/get_client.h"
#include "tests/support/put_client.h"
#include "tests/support/test_server.h"

namespace chunkkv {
namespace {

std::vector<uint32_t> Tokens(int64_t count, uint32_t factor = 3) {
  std::vector<uint32_t> tokens(count);
  for (int64_t i = 0; i < count; ++i) tokens[i] = static_cast<uint32_t>(i) * factor;
  return tokens;
}

PutRequest FullOf(const std::vector<uint32_t>& tokens) {
  PutRequest request = SmallRequest();
  request.spec = CompactionSpec();
  request.score_source = ScoreSource::kNone;
  request.token_count = static_cast<int64_t>(tokens.size());
  request.prompt = DigestPrompt(tokens, {});
  request.key = request.prompt.digests.back();
  return request;
}

v1::Committed Store(TestServer& server, const PutRequest& request) {
  const PutResult put = PutAll(server.channel(), request, MakePrompt(request));
  EXPECT_TRUE(put.committed.has_value()) << put.end;
  return put.committed.value_or(v1::Committed());
}

template <typename Response, typename Request>
Response Call(TestServer& server,
              grpc::Status (v1::KvCacheService::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
              const Request& request) {
  grpc::ClientContext context;
  Response response;
  const grpc::Status status = (server.stub().*method)(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

using Stub = v1::KvCacheService::Stub;

v1::FindLongestPrefixRequest FindOf(const PutRequest& request, const std::vector<uint32_t>& tokens) {
  v1::FindLongestPrefixRequest find;
  auto* query = find.add_queries();
  rpc::ToWire(request.model, query->mutable_model());
  query->mutable_prompt()->mutable_tokens()->Add(tokens.begin(), tokens.end());
  return find;
}

TEST(CatalogTest, FindsTheLongestPrefixByTokens) {
  TestServer server;
  const PutRequest request = FullOf(Tokens(256));
  const v1::Committed committed = Store(server, request);
  // The first 150 tokens are the same: two whole blocks of 64 and what the tokens themselves tell.
  std::vector<uint32_t> other = Tokens(300);
  for (size_t i = 150; i < other.size(); ++i) other[i] = 1;
  const auto found = Call(server, &Stub::FindLongestPrefix, FindOf(request, other)).results(0);
  ASSERT_EQ(found.status().code(), 0) << found.status().message();
  EXPECT_EQ(found.covered_tokens(), 128);
  ASSERT_EQ(found.entries_size(), 1);
  EXPECT_EQ(found.entries(0).entry_id(), committed.entry_id());
  EXPECT_EQ(found.entries(0).tier(), v1::TIER_HOST);
  EXPECT_EQ(found.entries(0).token_count(), 256);
  EXPECT_TRUE(found.lease_id().empty());
  // Loading half of it is expected to take half as long.
  const auto whole = Call(server, &Stub::FindLongestPrefix, FindOf(request, Tokens(256))).results(0);
  EXPECT_EQ(whole.covered_tokens(), 256);
  EXPECT_NEAR(whole.expected_load_ms(), 2 * found.expected_load_ms(), 1e-9);
}

TEST(CatalogTest, FindsByDigestsAndCountsOnlyWholeShardSets) {
  TestServer server;
  PutRequest request = FullOf(Tokens(128));
  request.shard.tp_size = 2;
  request.shard.kv_head_count = 1;
  request.layout[0].attention->kv_head_count = 1;
  request.layout[0].attention->query_head_count = 2;
  Store(server, request);
  v1::FindLongestPrefixRequest find;
  auto* query = find.add_queries();
  query->set_fingerprint(rpc::ToString(Fingerprint(request.model)));
  for (const Bytes32& digest : request.prompt.digests)
    query->mutable_prompt()->add_block_digests(rpc::ToString(digest));
  Shard second = request.shard;
  second.tp_rank = 1;
  second.first_kv_head = 1;
  rpc::ToWire(request.shard, query->add_shards());
  rpc::ToWire(second, query->add_shards());
  EXPECT_EQ(Call(server, &Stub::FindLongestPrefix, find).results(0).status().code(), grpc::StatusCode::NOT_FOUND);
  request.shard = second;
  Store(server, request);
  const auto found = Call(server, &Stub::FindLongestPrefix, find).results(0);
  EXPECT_EQ(found.status().code(), 0) << found.status().message();
  EXPECT_EQ(found.covered_tokens(), 128);
  EXPECT_EQ(found.entries_size(), 2);
}

TEST(CatalogTest, DescribesWithoutTheBytes) {
  TestServer server;
  const PutRequest request = SmallRequest();
  const Prompt prompt = MakePrompt(request);
  const v1::Committed committed = Store(server, request);
  v1::DescribeCachesRequest describe;
  describe.set_with_positions(true);
  describe.add_entries()->set_entry_id(committed.entry_id());
  auto* name = describe.add_entries()->mutable_name();
  rpc::ToWire(request.model, name->mutable_model());
  name->set_key(rpc::ToString(request.key));
  name->set_variant(rpc::ToString(VariantOf(request.spec)));
  describe.add_entries()->set_entry_id(std::string(16, 'x'));
  const auto described = Call(server, &Stub::DescribeCaches, describe);
  ASSERT_EQ(described.items_size(), 3);
  EXPECT_EQ(described.items(2).status().code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_FALSE(described.items(2).has_info());
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(described.items(i).status().code(), 0) << described.items(i).status().message();
    const v1::EntryInfo& info = described.items(i).info();
    EXPECT_EQ(info.entry_id(), committed.entry_id());
    EXPECT_EQ(info.model().name(), "model");
    EXPECT_EQ(info.spec().max_tokens(), 40);
    EXPECT_EQ(info.compaction().budget(), 40);
    EXPECT_EQ(info.token_count(), 96);
    EXPECT_EQ(info.full_bytes(), 3 * 96 * 2 * (8 + 4) * 4);
    EXPECT_LT(info.size_bytes(), info.full_bytes() / 2);
    EXPECT_EQ(info.created_unix_ms(), server.clock().UnixMs());
    const std::vector<std::vector<int32_t>> kept = ReferenceKept(request, prompt).positions;
    ASSERT_EQ(info.groups_size(), 3);
    EXPECT_EQ(std::vector<int32_t>(info.groups(1).positions().begin(), info.groups(1).positions().end()), kept[1]);
  }
}

TEST(CatalogTest, ListsPageByPage) {
  TestServer server;
  std::set<std::string> stored;
  for (uint8_t i = 1; i <= 7; ++i) {
    PutRequest request = SmallRequest();
    request.key.fill(i);
    stored.insert(Store(server, request).entry_id());
  }
  v1::ListCachesRequest list;
  list.set_page_size(3);
  std::set<std::string> listed;
  int pages = 0;
  do {
    const auto page = Call(server, &Stub::ListCaches, list);
    EXPECT_LE(page.entries_size(), 3);
    for (const v1::EntryInfo& info : page.entries()) EXPECT_TRUE(listed.insert(info.entry_id()).second);
    list.set_page_token(page.next_page_token());
    ++pages;
  } while (!list.page_token().empty());
  EXPECT_EQ(listed, stored);
  EXPECT_EQ(pages, 3);
  list.set_fingerprint(std::string(32, 'f'));
  EXPECT_EQ(Call(server, &Stub::ListCaches, list).entries_size(), 0);
}

// Entries that each take about a quarter of a megabyte to describe.
std::vector<std::string> StoreWordyEntries(TestServer& server, int count) {
  std::vector<std::string> ids;
  PutRequest request = FullOf(Tokens(8));
  request.model.adapters.assign(64, {std::string(1024, 'a'), std::string(1024, 'r')});
  for (int name = 0; name < 64; ++name) {
    request.model.extra[std::string(1000, 'k') + std::to_string(name)] = std::string(1000, 'v');
  }
  for (int i = 0; i < count; ++i) {
    request.model.revision = std::to_string(i);
    ids.push_back(Store(server, request).entry_id());
  }
  return ids;
}

TEST(CatalogTest, PagesEndEarlyWhereEntriesAreWordy) {
  TestServer server;
  const std::vector<std::string> stored = StoreWordyEntries(server, 40);
  v1::ListCachesRequest list;
  std::set<std::string> listed;
  int pages = 0;
  do {
    const auto page = Call(server, &Stub::ListCaches, list);
    EXPECT_GE(page.entries_size(), 1);
    EXPECT_LE(page.ByteSizeLong(), rpc::kMaxReplyBytes + 100);  // and a page token
    for (const v1::EntryInfo& info : page.entries()) EXPECT_TRUE(listed.insert(info.entry_id()).second);
    list.set_page_token(page.next_page_token());
    ++pages;
  } while (!list.page_token().empty());
  EXPECT_EQ(listed, std::set<std::string>(stored.begin(), stored.end()));
  EXPECT_EQ(pages, 2);
}

TEST(CatalogTest, DescribesAsManyAsOneReplyHolds) {
  TestServer server;
  v1::DescribeCachesRequest request;
  for (const std::string& id : StoreWordyEntries(server, 40)) request.add_entries()->set_entry_id(id);
  const auto response = Call(server, &Stub::DescribeCaches, request);
  ASSERT_EQ(response.items_size(), 40);
  EXPECT_LE(response.ByteSizeLong(), rpc::kMaxReplyBytes + 40 * 200);  // and the statuses
  int described = 0;
  while (described < 40 && response.items(described).status().code() == 0) ++described;
  EXPECT_GT(described, 20);
  ASSERT_LT(described, 40);
  for (int i = described; i < 40; ++i) {
    EXPECT_EQ(response.items(i).status().code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_EQ(response.items(i).status().reason(), "REPLY_TOO_LARGE");
    EXPECT_FALSE(response.items(i).has_info());
  }
  // The rest is described when it is asked for again.
  request.mutable_entries()->DeleteSubrange(0, described);
  const auto rest = Call(server, &Stub::DescribeCaches, request);
  for (const auto& item : rest.items()) EXPECT_EQ(item.status().code(), 0);
}

TEST(CatalogTest, PinsAndUnpins) {
  TestServer server;
  const v1::Committed committed = Store(server, SmallRequest());
  v1::PinCachesRequest pin;
  pin.set_duration_ms(60'000);
  pin.add_entries()->set_entry_id(committed.entry_id());
  const auto pinned = Call(server, &Stub::PinCaches, pin);
  ASSERT_EQ(pinned.items(0).status().code(), 0);
  EXPECT_EQ(pinned.items(0).expires_unix_ms(), server.clock().UnixMs() + 60'000);
  EXPECT_EQ(Call(server, &Stub::GetStats, v1::GetStatsRequest()).pins(), 1);
  v1::UnpinCachesRequest unpin;
  unpin.add_pin_ids(pinned.items(0).pin_id());
  unpin.add_pin_ids(pinned.items(0).pin_id());
  unpin.add_pin_ids("short");
  const auto unpinned = Call(server, &Stub::UnpinCaches, unpin);
  EXPECT_EQ(unpinned.items(0).code(), 0);
  EXPECT_EQ(unpinned.items(1).reason(), "PIN_NOT_FOUND");
  EXPECT_EQ(unpinned.items(2).reason(), "BAD_PIN_ID");
  server.ExpectAtRest();
}

TEST(CatalogTest, TrimsByPrefixAndAge) {
  TestServer server;
  Store(server, FullOf(Tokens(128)));
  Store(server, FullOf(Tokens(128, 5)));
  v1::TrimCachesRequest trim;
  for (const uint32_t token : Tokens(64)) trim.mutable_prefix()->add_tokens(token);
  trim.set_dry_run(true);
  EXPECT_EQ(Call(server, &Stub::TrimCaches, trim).removed_entries(), 1);
  EXPECT_EQ(server.store().Stats().entries, 2);
  trim.set_dry_run(false);
  EXPECT_EQ(Call(server, &Stub::TrimCaches, trim).removed_entries(), 1);
  server.clock().AdvanceMs(5000);
  v1::TrimCachesRequest by_age;
  by_age.set_older_than_ms(4000);
  EXPECT_EQ(Call(server, &Stub::TrimCaches, by_age).removed_entries(), 1);
  EXPECT_EQ(server.store().Stats().entries, 0);
}

TEST(CatalogTest, SaysWhatItCanDo) {
  TestServer server;
  const auto can = Call(server, &Stub::GetCapabilities, v1::GetCapabilitiesRequest());
  EXPECT_EQ(can.protocol_version(), "v1");
  EXPECT_EQ(can.policies_size(), 6);
  EXPECT_EQ(can.dtypes_size(), 5);
  EXPECT_EQ(can.scorable_dtypes_size(), 3);
  EXPECT_EQ(can.score_sources_size(), 3);
  EXPECT_EQ(can.limits().max_part_bytes(), 2 << 20);
  EXPECT_EQ(can.limits().max_message_bytes(), 8 << 20);
  EXPECT_EQ(can.limits().max_entry_bytes(), int64_t{64} << 20);
  // Every feature named can be required.
  v1::Begin begin = BeginOf(SmallRequest());
  *begin.mutable_required_features() = can.features();
  PutClient client(server.channel());
  EXPECT_TRUE(client.Begin(begin).has_value());
}

TEST(CatalogTest, CountsWhatItHoldsAndServes) {
  TestServer server;
  const PutRequest request = FullOf(Tokens(96));
  const v1::Committed committed = Store(server, request);
  ASSERT_TRUE(GetAll(server.channel(), GetRequestOf(request)).end.ok());
  server.clock().AdvanceMs(1234);
  const auto stats = Call(server, &Stub::GetStats, v1::GetStatsRequest());
  ASSERT_EQ(stats.tiers_size(), 1);
  EXPECT_EQ(stats.tiers(0).entries(), 1);
  EXPECT_EQ(stats.tiers(0).budget_bytes(), int64_t{64} << 20);
  EXPECT_EQ(stats.tiers(0).staging_bytes(), 0);
  EXPECT_EQ(stats.tenant().puts(), 1);
  EXPECT_EQ(stats.tenant().received_bytes(), committed.received_bytes());
  EXPECT_EQ(stats.tenant().hit_tokens(), 96);
  EXPECT_EQ(stats.uptime_ms(), 1234);
  EXPECT_EQ(stats.active_sessions(), 0);
}

class Watcher {
 public:
  explicit Watcher(TestServer& server, int64_t after_sequence = 0) : stream_(server.channel(), "WatchCaches") {
    v1::WatchCachesRequest request;
    request.set_after_sequence(after_sequence);
    stream_.Send(request);
    stream_.HalfClose();
  }
  v1::WatchCachesResponse Next() {
    v1::WatchCachesResponse response;
    const auto bytes = stream_.Receive();
    EXPECT_TRUE(bytes.has_value() && response.ParseFromString(*bytes));
    return response;
  }

 private:
  RawStream stream_;
};

TEST(CatalogTest, WatchersSeeASnapshotAndThenEvents) {
  TestServer server;
  const v1::Committed before = Store(server, FullOf(Tokens(96)));
  Watcher watcher(server);
  EXPECT_EQ(watcher.Next().event(), v1::WatchCachesResponse::SNAPSHOT_BEGIN);
  const auto entry = watcher.Next();
  EXPECT_EQ(entry.event(), v1::WatchCachesResponse::SNAPSHOT_ENTRY);
  EXPECT_EQ(entry.entry().entry_id(), before.entry_id());
  EXPECT_EQ(watcher.Next().event(), v1::WatchCachesResponse::SNAPSHOT_END);

  const v1::Committed after = Store(server, FullOf(Tokens(96, 5)));
  const auto stored = watcher.Next();
  EXPECT_EQ(stored.event(), v1::WatchCachesResponse::STORED);
  EXPECT_EQ(stored.entry().entry_id(), after.entry_id());
  v1::DeleteCachesRequest remove;
  remove.add_entries()->set_entry_id(before.entry_id());
  Call(server, &Stub::DeleteCaches, remove);
  const auto removed = watcher.Next();
  EXPECT_EQ(removed.event(), v1::WatchCachesResponse::REMOVED);
  EXPECT_EQ(removed.removal_reason(), v1::WatchCachesResponse::DELETED);
  EXPECT_EQ(removed.entry().entry_id(), before.entry_id());
  EXPECT_EQ(removed.sequence(), stored.sequence() + 1);

  // One that comes back continues where it was.
  Watcher again(server, stored.sequence());
  EXPECT_EQ(again.Next().sequence(), removed.sequence());
}

TEST(CatalogTest, WatchersThatWereAwayTooLongGetASnapshot) {
  ServerOptions options = SmallServer();
  options.store.watch_history = 2;
  TestServer server(options);
  int64_t sequence = 0;
  {
    Watcher watcher(server);
    watcher.Next();
    sequence = watcher.Next().sequence();
  }
  for (uint8_t i = 1; i <= 4; ++i) {
    PutRequest request = SmallRequest();
    request.key.fill(i);
    Store(server, request);
  }
  Watcher again(server, sequence);
  EXPECT_EQ(again.Next().event(), v1::WatchCachesResponse::SNAPSHOT_BEGIN);
}

}  // namespace
}  // namespace chunkkv
