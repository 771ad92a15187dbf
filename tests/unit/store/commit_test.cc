// What commits, what does not, and how entries end.
#include <set>

#include "tests/unit/store/store_fixture.h"

namespace chunkkv {
namespace {

using absl::StatusCode;
using StoreCommitTest = StoreTest;

TEST_F(StoreCommitTest, MakesAnEntryVisibleWithItsIdentityAndAnIdOfItsOwn) {
  const MadeEntry made = MakeEntry(Prompt(0));
  EXPECT_EQ(store_->FindStored(made.identity), nullptr);
  auto result = PutEntry(*store_, made);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->already_stored);
  const EntryHeader& header = result->entry->header();
  EXPECT_NE(header.entry_id, Bytes16{});
  EXPECT_EQ(header.created_unix_ms, clock_.UnixMs());
  EXPECT_EQ(header.tenant, "tenant");
  EXPECT_EQ(header.key, made.identity.key);
  EXPECT_TRUE(header.block_digests.empty());
  EXPECT_EQ(result->entry->identity(), made.identity);
  EXPECT_TRUE(std::equal(made.body.begin(), made.body.end(), result->entry->body().begin()));
  EXPECT_EQ(store_->FindStored(made.identity), result->entry);
}

TEST_F(StoreCommitTest, TheFirstWins) {
  const EntryPtr first = Put(Prompt(0));
  EntryRecipe other = Prompt(0);
  other.fill = 9;
  auto second = PutEntry(*store_, other);
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(second->already_stored);
  EXPECT_EQ(second->entry, first);
  EXPECT_EQ(store_->Stats().entries, 1);
}

TEST_F(StoreCommitTest, VariantsModelsShardsAndTenantsStandSideBySide) {
  EntryRecipe other_model = Prompt(0), other_shard = Prompt(0), other_tenant = Prompt(0);
  other_model.model = "other";
  other_shard.shard.tp_rank = 1;
  other_tenant.tenant = "other";
  std::set<Bytes16> ids;
  for (const EntryRecipe& recipe :
       {Prompt(0), Compacted(Prompt(0), 0.2), Compacted(Prompt(0), 0.1), other_model, other_shard, other_tenant}) {
    ids.insert(Put(recipe)->header().entry_id);
  }
  EXPECT_EQ(ids.size(), 6u);
  EXPECT_EQ(store_->Stats().entries, 6);
}

TEST_F(StoreCommitTest, RefusesDamagedBytes) {
  for (const EntryRecipe& recipe : {Prompt(0), Compacted(Prompt(0), 0.2)}) {
    MadeEntry made = MakeEntry(recipe);
    for (const size_t at : {size_t{0}, made.body.size() / 2, made.body.size() - 1}) {
      MadeEntry damaged = made;
      damaged.body[at] ^= std::byte{1};
      EXPECT_EQ(PutEntry(*store_, damaged).status().code(), StatusCode::kDataLoss) << at;
    }
  }
  EXPECT_EQ(store_->Stats().entries, 0);
  EXPECT_EQ(store_->Stats().used_bytes, 0);
}

TEST_F(StoreCommitTest, RefusesDigestsThatDoNotMakeTheTokens) {
  MadeEntry made = MakeEntry(Prompt(0));
  made.header.block_digests.pop_back();
  EXPECT_THAT(PutEntry(*store_, made), IsError(StatusCode::kInvalidArgument, "BAD_BLOCK_DIGESTS"));
}

TEST_F(StoreCommitTest, PinsWhatItStored) {
  CommitOptions options;
  options.pin_ms = 500;
  for (const bool already_stored : {false, true}) {
    auto result = PutEntry(*store_, Prompt(0), options);
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->already_stored, already_stored);
    ASSERT_TRUE(result->pin.has_value());
    EXPECT_EQ(result->pin->expires_unix_ms, clock_.UnixMs() + 500);
  }
  EXPECT_EQ(store_->Stats().pins, 2);
  clock_.AdvanceMs(500);
}

TEST_F(StoreCommitTest, RefusesPinsBeyondTheLimit) {
  CommitOptions options;
  options.pin_ms = options_.max_pin_ms + 1;
  EXPECT_THAT(PutEntry(*store_, Prompt(0), options), IsError(StatusCode::kInvalidArgument, "BAD_PIN"));
}

TEST_F(StoreCommitTest, AnExpiredEntryIsAMissBeforeAnyTimerRan) {
  EntryRecipe recipe = Prompt(0);
  recipe.expires_unix_ms = clock_.UnixMs() + 1000;
  const MadeEntry made = MakeEntry(recipe);
  ASSERT_TRUE(PutEntry(*store_, made).ok());
  clock_.AdvanceMs(999);
  EXPECT_TRUE(store_->Get(PromptNameOf(made.identity), kAcceptExact, std::nullopt).ok());
  clock_.AdvanceMs(1);
  EXPECT_THAT(store_->Get(PromptNameOf(made.identity), kAcceptExact, std::nullopt),
              IsError(StatusCode::kNotFound, "ENTRY_NOT_FOUND"));
  EXPECT_EQ(store_->FindStored(made.identity), nullptr);
}

TEST_F(StoreCommitTest, AnExpiredEntryMakesWayForANewOne) {
  EntryRecipe recipe = Prompt(0);
  recipe.expires_unix_ms = clock_.UnixMs() + 1000;
  ASSERT_TRUE(PutEntry(*store_, recipe).ok());
  clock_.AdvanceMs(1000);
  auto again = PutEntry(*store_, Prompt(0));
  ASSERT_TRUE(again.ok());
  EXPECT_FALSE(again->already_stored);
}

TEST_F(StoreCommitTest, JumpsOfTheWallClockNeitherEndNorProlongALife) {
  EntryRecipe recipe = Prompt(0);
  recipe.expires_unix_ms = clock_.UnixMs() + 1000;
  const MadeEntry made = MakeEntry(recipe);
  ASSERT_TRUE(PutEntry(*store_, made).ok());
  clock_.JumpWallClockMs(86'400'000);
  EXPECT_NE(store_->FindStored(made.identity), nullptr);
  clock_.JumpWallClockMs(-2 * 86'400'000);
  clock_.AdvanceMs(1000);
  EXPECT_EQ(store_->FindStored(made.identity), nullptr);
}

TEST_F(StoreCommitTest, ClampsALifeToTheLimit) {
  EntryRecipe recipe = Prompt(0);
  recipe.expires_unix_ms = INT64_MAX;
  const EntryPtr entry = Put(recipe);
  EXPECT_EQ(entry->header().expires_unix_ms, clock_.UnixMs() + options_.max_ttl_ms);
}

TEST_F(StoreCommitTest, ALifeThatIsOverAlreadyIsNeverServed) {
  for (const int64_t expires_unix_ms : {int64_t{1}, clock_.UnixMs() - 1, INT64_MIN}) {
    EntryRecipe recipe = Prompt(0);
    recipe.expires_unix_ms = expires_unix_ms;
    const MadeEntry made = MakeEntry(recipe);
    ASSERT_TRUE(PutEntry(*store_, made).ok());
    EXPECT_EQ(store_->FindStored(made.identity), nullptr);
  }
}

TEST_F(StoreCommitTest, TheLimitOfAnEntryIsOfItsBytesAlone) {
  const MadeEntry made = MakeEntry(Prompt(0, 1));
  options_.max_entry_bytes = Buffer::ChargedBytes(static_cast<int64_t>(made.body.size()));
  Restart();
  EXPECT_TRUE(PutEntry(*store_, made).ok());
  EXPECT_GT(store_->Stats().entry_bytes, options_.max_entry_bytes);
}

TEST_F(StoreCommitTest, CountsPuts) {
  store_->CountPut("tenant", 1000, 100);
  store_->CountPut("tenant", 500, 50);
  EXPECT_EQ(store_->StatsOf("tenant").puts, 2);
  EXPECT_EQ(store_->StatsOf("tenant").received_bytes, 1500);
  EXPECT_EQ(store_->StatsOf("tenant").stored_bytes, 150);
  EXPECT_EQ(store_->StatsOf("other").puts, 0);
}

}  // namespace
}  // namespace chunkkv
