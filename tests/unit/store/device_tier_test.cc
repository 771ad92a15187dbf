// What is on the device, and what makes room there.
#include "tests/unit/store/device_fixture.h"

namespace chunkkv {
namespace {

using absl::StatusCode;

TEST_F(DeviceStoreTest, CopiesWhatIsStoredWhereThereIsRoom) {
  const Selector entry = PutAndForget(BigPrompt(0));
  EXPECT_EQ(TierOf(entry), Tier::kHost) << "a put does not wait for it";
  RunMoves();
  EXPECT_EQ(TierOf(entry), Tier::kDevice);
  EXPECT_TRUE(IsInHost(entry));
  EXPECT_EQ(Device().entries, 1);
  EXPECT_EQ(Device().promotions, 1);
  EXPECT_EQ(Device().used_bytes, 2 * kMiB);
  EXPECT_GE(Device().entry_bytes, MakeEntry(BigPrompt(0)).header.BodyBytes());
  ExpectServed(BigPrompt(0));
  EXPECT_EQ(Device().returns, 0) << "gets are served from host memory";
}

TEST_F(DeviceStoreTest, TakesNobodysPlaceWhenStoredOrReadOnce) {
  for (uint32_t i = 0; i < 4; ++i) Store(BigPrompt(i));
  const Selector fifth = Store(BigPrompt(4));
  ExpectServed(BigPrompt(4));
  RunMoves();
  EXPECT_EQ(TierOf(fifth), Tier::kHost);
  EXPECT_EQ(Device().evictions, 0);
}

TEST_F(DeviceStoreTest, TakesTheLeastRecentlyUsedsPlaceWhenReadAgain) {
  std::vector<Selector> entries;
  for (uint32_t i = 0; i < 4; ++i) entries.push_back(Store(BigPrompt(i)));
  ExpectServed(BigPrompt(0));
  const Selector fifth = Store(BigPrompt(4));
  for (int read = 0; read < 2; ++read) ExpectServed(BigPrompt(4));
  RunMoves();
  EXPECT_EQ(TierOf(fifth), Tier::kDevice);
  EXPECT_EQ(TierOf(entries[0]), Tier::kDevice);
  EXPECT_EQ(TierOf(entries[1]), Tier::kHost);
  EXPECT_TRUE(IsInHost(entries[1]));
  EXPECT_EQ(Device().evictions, 1);
  EXPECT_EQ(Device().demotions, 0) << "host memory had it";
}

TEST_F(DeviceStoreTest, KeepsWhatHostMemoryHasNoRoomFor) {
  const Selector entry = Store(BigPrompt(0));
  FillHostMemory();
  EXPECT_TRUE(Has(entry));
  EXPECT_FALSE(IsInHost(entry));
  EXPECT_EQ(TierOf(entry), Tier::kDevice);
  EXPECT_EQ(store_->Stats().host_entries, 0);
  EXPECT_EQ(store_->Stats().entries, 1);
  EXPECT_EQ(store_->Stats().evictions, 1);
  EXPECT_EQ(store_->Stats().used_bytes, store_->Stats().entry_bytes) << "the header is still charged";
  EXPECT_GT(store_->Stats().used_bytes, 0);
  ExpectServed(BigPrompt(0));
  EXPECT_TRUE(IsInHost(entry));
  EXPECT_EQ(Device().returns, 1);
  EXPECT_EQ(memory_->registration_count(), 1) << "so that the copy runs at full speed";
}

TEST_F(DeviceStoreTest, WhoeverMustNotWaitGetsOnlyWhatIsInHostMemory) {
  const PromptName name = PromptNameOf(MakeEntry(BigPrompt(0)).identity);
  EXPECT_EQ(store_->GetInHost(name, kAcceptExact, std::nullopt).status().code(), StatusCode::kNotFound);
  Store(BigPrompt(0));
  EXPECT_NE(*store_->GetInHost(name, kAcceptExact, std::nullopt), nullptr);
  EXPECT_EQ(store_->StatsOf("tenant").hit_tokens, 1000);
  FillHostMemory();
  EXPECT_EQ(*store_->GetInHost(name, kAcceptExact, std::nullopt), nullptr);
  EXPECT_EQ(Device().returns, 0);
  EXPECT_EQ(store_->StatsOf("tenant").hit_tokens, 1000) << "counted when it is served";
  EXPECT_EQ(store_->StatsOf("tenant").miss_tokens, 0);
}

TEST_F(DeviceStoreTest, FindsAndDescribesWithoutFetchingTheBytes) {
  const Selector entry = Store(BigPrompt(0));
  FillHostMemory();
  const auto state = store_->Describe(entry);
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(state->entry->header().token_count, 1000);
  const MadeEntry made = MakeEntry(BigPrompt(0));
  PrefixQuery query;
  query.tenant = "tenant";
  query.shards = {TestShard()};
  query.fingerprint = made.identity.fingerprint;
  query.prompt = DigestPrompt(BigPrompt(0).tokens, {});
  const auto match = store_->FindLongestPrefix(query);
  ASSERT_TRUE(match.ok()) << match.status();
  EXPECT_EQ(match->covered_tokens, 1000);
  EXPECT_EQ(match->entries[0].tier, Tier::kDevice);
  EXPECT_NE(store_->FindStored(made.identity), nullptr) << "nothing needs to be sent again";
  EXPECT_TRUE(PutEntry(*store_, made)->already_stored);
  EXPECT_EQ(Device().returns, 0);
}

TEST_F(DeviceStoreTest, MovesToHostMemoryWhatNobodyElseHas) {
  std::vector<Selector> entries;
  for (uint32_t i = 0; i < 4; ++i) entries.push_back(Store(BigPrompt(i)));
  FillHostMemory();
  Store(BigPrompt(4));
  for (int read = 0; read < 2; ++read) ExpectServed(BigPrompt(4));
  RunMoves();
  EXPECT_EQ(Device().demotions, 1);
  EXPECT_EQ(TierOf(entries[0]), Tier::kHost);
  for (uint32_t i = 0; i < 5; ++i) ExpectServed(BigPrompt(i));
}

TEST_F(DeviceStoreTest, AReaderAlsoFindsWhatWasBroughtBackBetweenItsLookAndItsWait) {
  Store(BigPrompt(0));
  FillHostMemory();
  const MadeEntry made = MakeEntry(BigPrompt(0));
  absl::StatusOr<EntryPtr> got = absl::UnknownError("not called");
  store_->Wait(PromptNameOf(made.identity), kAcceptExact, [&](absl::StatusOr<EntryPtr> entry) { got = entry; });
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ((*got)->body(), absl::MakeConstSpan(made.body));
}

TEST_F(DeviceStoreTest, TellsOfMoves) {
  int64_t sequence = 0;
  store_->Snapshot("tenant", &sequence);
  const Selector entry = Store(BigPrompt(0));
  for (uint32_t i = 1; i < 5; ++i) Store(BigPrompt(i));
  for (int read = 0; read < 2; ++read) ExpectServed(BigPrompt(4));
  RunMoves();
  bool gap = false;
  std::vector<std::pair<StoreEvent::Kind, Tier>> told;
  for (const StoreEvent& event : store_->EventsAfter("tenant", sequence, 100, &sequence, &gap)) {
    if (event.entry->header().entry_id == *entry.entry_id) told.emplace_back(event.kind, event.tier);
  }
  using Kind = StoreEvent::Kind;
  EXPECT_EQ(told, (std::vector<std::pair<Kind, Tier>>{
                      {Kind::kStored, Tier::kHost}, {Kind::kMoved, Tier::kDevice}, {Kind::kMoved, Tier::kHost}}));
  for (const PlacedEntry& placed : store_->Snapshot("tenant", &sequence)) {
    EXPECT_EQ(placed.tier, placed.entry->header().entry_id == *entry.entry_id ? Tier::kHost : Tier::kDevice);
  }
}

TEST_F(DeviceStoreTest, NeverTakesThePlaceOfAPinnedEntry) {
  std::vector<Selector> entries;
  std::vector<Lease> leases;
  for (uint32_t i = 0; i < 4; ++i) {
    entries.push_back(Store(BigPrompt(i)));
    leases.push_back(*store_->Pin(entries.back(), 1000));
  }
  const Selector fifth = Store(BigPrompt(4));
  for (int read = 0; read < 3; ++read) ExpectServed(BigPrompt(4));
  RunMoves();
  EXPECT_EQ(TierOf(fifth), Tier::kHost);
  ASSERT_TRUE(store_->Unpin("tenant", leases[2].id).ok());
  ExpectServed(BigPrompt(4));
  RunMoves();
  EXPECT_EQ(TierOf(fifth), Tier::kDevice);
  EXPECT_EQ(TierOf(entries[2]), Tier::kHost);
  clock_.AdvanceMs(1000);
}

TEST_F(DeviceStoreTest, APinHoldsWhereverTheEntryComes) {
  EntryRecipe recipe = BigPrompt(0);
  const Selector entry = PutAndForget(recipe);
  const Lease lease = *store_->Pin(entry, 1000);
  RunMoves();
  for (uint32_t i = 1; i < 6; ++i) {
    Store(BigPrompt(i));
    for (int read = 0; read < 2; ++read) ExpectServed(BigPrompt(i));
    RunMoves();
  }
  EXPECT_EQ(TierOf(entry), Tier::kDevice);
  EXPECT_TRUE(IsInHost(entry));
  ASSERT_TRUE(store_->Unpin("tenant", lease.id).ok());
}

TEST_F(DeviceStoreTest, GivesItsMemoryBackWithTheEntry) {
  EntryRecipe expiring = BigPrompt(1);
  expiring.expires_unix_ms = clock_.UnixMs() + 50;
  const Selector deleted = Store(BigPrompt(0)), expired = Store(expiring);
  FillHostMemory();
  ASSERT_TRUE(Has(deleted) && Has(expired));
  ASSERT_TRUE(store_->Delete(deleted).ok());
  clock_.AdvanceMs(50);
  EXPECT_FALSE(Has(expired));
  EXPECT_EQ(Device().used_bytes, 0);
  EXPECT_EQ(store_->Stats().used_bytes, 0) << "headers too";
}

TEST_F(DeviceStoreTest, LeavesAloneWhatCanNeverFit) {
  for (uint32_t i = 0; i < 4; ++i) Store(BigPrompt(i));
  EntryRecipe large = BigPrompt(4);
  large.tokens = CountingTokens(4100, 40'000);
  Store(large);
  for (int read = 0; read < 3; ++read) ExpectServed(large);
  RunMoves();
  EXPECT_EQ(Device().entries, 4);
  EXPECT_EQ(Device().evictions, 0);
}

TEST_F(DeviceStoreTest, EvictsNothingInVain) {
  std::vector<Lease> leases;
  for (uint32_t i = 0; i < 3; ++i) leases.push_back(*store_->Pin(Store(BigPrompt(i)), 1000));
  const Selector unpinned = Store(BigPrompt(3));
  EntryRecipe large = BigPrompt(4);
  large.tokens = CountingTokens(1900, 40'000);  // as much as two
  Store(large);
  for (int read = 0; read < 3; ++read) ExpectServed(large);
  RunMoves();
  EXPECT_EQ(TierOf(unpinned), Tier::kDevice);
  clock_.AdvanceMs(1000);
}

TEST_F(DeviceStoreTest, CopiesNothingAnyMoreOnceItWasTold) {
  const Selector before = Store(BigPrompt(0));
  store_->StopPromoting();
  const Selector after = PutAndForget(BigPrompt(1));
  ExpectServed(BigPrompt(1));
  EXPECT_TRUE(tasks_.empty());
  EXPECT_EQ(TierOf(after), Tier::kHost);
  EXPECT_EQ(TierOf(before), Tier::kDevice);
}

// Host memory for two entries and a half.
class TightStoreTest : public DeviceStoreTest {
 protected:
  TightStoreTest() : DeviceStoreTest(5 * kMiB / 2) {}
};

TEST_F(TightStoreTest, TogetherTheTiersHoldMoreThanEither) {
  std::vector<Selector> entries;
  for (uint32_t i = 0; i < 6; ++i) entries.push_back(Store(BigPrompt(i)));
  for (uint32_t i = 0; i < 6; ++i) EXPECT_TRUE(Has(entries[i])) << i;
  EXPECT_EQ(Device().entries, 4);
  EXPECT_EQ(store_->Stats().host_entries, 2);
  for (uint32_t i = 0; i < 4; ++i) ExpectServed(BigPrompt(i));
}

TEST_F(TightStoreTest, NoMoveCostsAnEntry) {
  std::vector<Selector> entries;
  for (uint32_t i = 0; i < 6; ++i) entries.push_back(Store(BigPrompt(i)));
  // Host memory is full of entries that are nowhere else: nothing on the device can go there.
  for (int read = 0; read < 5; ++read) ExpectServed(BigPrompt(5));
  RunMoves();
  EXPECT_EQ(TierOf(entries[5]), Tier::kHost);
  for (uint32_t i = 0; i < 6; ++i) EXPECT_TRUE(Has(entries[i])) << i;
  EXPECT_EQ(Device().evictions, 0);
}

TEST_F(TightStoreTest, AMoveMayTakeThePlaceOfASecondCopy) {
  std::vector<Selector> entries;
  for (uint32_t i = 0; i < 4; ++i) entries.push_back(Store(BigPrompt(i)));
  // 2 and 3 are in both tiers, 0 and 1 on the device alone; 4 pushes 2 out of host memory.
  entries.push_back(Store(BigPrompt(4)));
  ASSERT_FALSE(IsInHost(entries[2]));
  ASSERT_TRUE(IsInHost(entries[3]));
  for (int read = 0; read < 2; ++read) ExpectServed(BigPrompt(4));
  RunMoves();
  EXPECT_EQ(Device().demotions, 1);
  EXPECT_EQ(TierOf(entries[0]), Tier::kHost);
  EXPECT_FALSE(IsInHost(entries[3])) << "the device has it";
  for (uint32_t i = 0; i < 5; ++i) EXPECT_TRUE(Has(entries[i])) << i;
}

TEST_F(TightStoreTest, AGetIsRefusedWhereNothingMayLeaveHostMemory) {
  const Selector entry = Store(BigPrompt(0));
  FillHostMemory();
  const auto rest = store_->Reserve(2 * kMiB);
  ASSERT_TRUE(rest.ok());
  EXPECT_THAT(Read(BigPrompt(0)), IsErrorStatus(StatusCode::kResourceExhausted, "BUDGET"));
  EXPECT_TRUE(Has(entry));
}

TEST_F(TightStoreTest, HeadersOfTheDevicesEntriesMakeRoomLast) {
  std::vector<Selector> entries;
  for (uint32_t i = 0; i < 2; ++i) entries.push_back(Store(BigPrompt(i)));
  const auto share = store_->Reserve(store_->Stats().budget_bytes);
  ASSERT_TRUE(share.ok()) << share.status();
  for (const Selector& entry : entries) EXPECT_FALSE(Has(entry));
  EXPECT_EQ(Device().entries, 0);
}

}  // namespace
}  // namespace chunkkv
