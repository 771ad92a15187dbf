// Describing, listing, pinning, deleting and trimming.
#include <algorithm>
#include <set>

#include "tests/unit/store/store_fixture.h"

namespace chunkkv {
namespace {

using absl::StatusCode;
using StoreCatalogueTest = StoreTest;

TEST_F(StoreCatalogueTest, DescribesByIdAndByName) {
  const EntryPtr entry = Put(Prompt(0));
  EXPECT_EQ(store_->Describe(SelectorOf(entry))->entry, entry);
  Selector by_name;
  by_name.tenant = "tenant";
  by_name.identity = entry->identity();
  by_name.if_entry_id = entry->header().entry_id;
  EXPECT_EQ(store_->Describe(by_name)->entry, entry);
  (*by_name.if_entry_id)[0] ^= 1;
  EXPECT_THAT(store_->Describe(by_name), IsError(StatusCode::kNotFound, "ENTRY_NOT_FOUND"));
  EXPECT_THAT(store_->Describe({.tenant = "tenant", .entry_id = {}, .identity = {}, .if_entry_id = {}}),
              IsError(StatusCode::kNotFound, "ENTRY_NOT_FOUND"));
}

TEST_F(StoreCatalogueTest, ListsPagesInTheOrderOfIds) {
  std::set<Bytes16> ids;
  for (uint32_t i = 0; i < 25; ++i) ids.insert(Put(Prompt(i * 1000, 10))->header().entry_id);
  EntryRecipe theirs = Prompt(0, 10);
  theirs.tenant = "other";
  Put(theirs);
  std::vector<Bytes16> listed;
  std::optional<Bytes16> after;
  while (true) {
    const auto page = store_->List("tenant", std::nullopt, after, 10);
    EXPECT_LE(page.size(), 10u);
    for (const EntryState& state : page) listed.push_back(state.entry->header().entry_id);
    if (page.size() < 10) break;
    after = listed.back();
  }
  EXPECT_EQ(listed, std::vector<Bytes16>(ids.begin(), ids.end()));
}

TEST_F(StoreCatalogueTest, ListsOneModelsEntries) {
  EntryRecipe other = Prompt(0);
  other.model = "other";
  const EntryPtr entry = Put(other);
  Put(Prompt(0));
  const auto page = store_->List("tenant", entry->identity().fingerprint, std::nullopt, 10);
  ASSERT_EQ(page.size(), 1u);
  EXPECT_EQ(page[0].entry, entry);
}

TEST_F(StoreCatalogueTest, PinsUntilTheLastLeaseEnds) {
  const EntryPtr entry = Put(Prompt(0));
  auto shorter = store_->Pin(SelectorOf(entry), 100);
  auto longer = store_->Pin(SelectorOf(entry), 200);
  ASSERT_TRUE(shorter.ok() && longer.ok());
  EXPECT_EQ(store_->Describe(SelectorOf(entry))->pinned_until_unix_ms, clock_.UnixMs() + 200);
  ASSERT_TRUE(store_->Unpin("tenant", longer->id).ok());
  EXPECT_EQ(store_->Describe(SelectorOf(entry))->pinned_until_unix_ms, clock_.UnixMs() + 100);
  EXPECT_THAT(store_->Delete(SelectorOf(entry)), IsErrorStatus(StatusCode::kFailedPrecondition, "PINNED"));
  clock_.JumpWallClockMs(1'000'000);
  EXPECT_THAT(store_->Delete(SelectorOf(entry)), IsErrorStatus(StatusCode::kFailedPrecondition, "PINNED"));
  clock_.AdvanceMs(100);
  EXPECT_EQ(store_->Describe(SelectorOf(entry))->pinned_until_unix_ms, 0);
  EXPECT_TRUE(store_->Delete(SelectorOf(entry)).ok());
}

TEST_F(StoreCatalogueTest, RefusesPinsOfBadLength) {
  const EntryPtr entry = Put(Prompt(0));
  for (const int64_t duration_ms : {int64_t{0}, int64_t{-1}, options_.max_pin_ms + 1, INT64_MAX}) {
    EXPECT_THAT(store_->Pin(SelectorOf(entry), duration_ms), IsError(StatusCode::kInvalidArgument, "BAD_PIN"));
  }
}

TEST_F(StoreCatalogueTest, UnpinsOnlyOnceAndOnlyForItsTenant) {
  const EntryPtr entry = Put(Prompt(0));
  auto lease = store_->Pin(SelectorOf(entry), 100);
  ASSERT_TRUE(lease.ok());
  EXPECT_THAT(store_->Unpin("other", lease->id), IsErrorStatus(StatusCode::kNotFound, "PIN_NOT_FOUND"));
  EXPECT_TRUE(store_->Unpin("tenant", lease->id).ok());
  EXPECT_THAT(store_->Unpin("tenant", lease->id), IsErrorStatus(StatusCode::kNotFound, "PIN_NOT_FOUND"));
}

TEST_F(StoreCatalogueTest, APinEndsWithAnEntryThatExpires) {
  EntryRecipe recipe = Prompt(0);
  recipe.expires_unix_ms = clock_.UnixMs() + 50;
  const EntryPtr entry = Put(recipe);
  auto lease = store_->Pin(SelectorOf(entry), 1000);
  ASSERT_TRUE(lease.ok());
  clock_.AdvanceMs(50);
  store_->ExpireNow();
  EXPECT_EQ(store_->Stats().entries, 0);
  EXPECT_EQ(store_->Stats().pins, 0);
  EXPECT_FALSE(store_->Unpin("tenant", lease->id).ok());
}

TEST_F(StoreCatalogueTest, DeletesOnlyTheVeryEntry) {
  const EntryPtr entry = Put(Prompt(0));
  Selector selector;
  selector.tenant = "tenant";
  selector.identity = entry->identity();
  selector.if_entry_id = Bytes16{};
  EXPECT_THAT(store_->Delete(selector), IsErrorStatus(StatusCode::kNotFound, "ENTRY_NOT_FOUND"));
  selector.if_entry_id = entry->header().entry_id;
  EXPECT_TRUE(store_->Delete(selector).ok());
  EXPECT_FALSE(Has(entry));
}

class StoreTrimTest : public StoreTest {
 protected:
  TrimCondition condition_{.tenant = "tenant", .older_than_ms = 0, .fingerprint = {}, .prefix = {}, .dry_run = false};
};

TEST_F(StoreTrimTest, RemovesWhatWasNotUsedForLong) {
  const EntryPtr old = Put(Prompt(0));
  const EntryPtr used = Put(Prompt(1000));
  clock_.AdvanceMs(100);
  ASSERT_TRUE(store_->Get(PromptNameOf(used->identity()), kAcceptExact, std::nullopt).ok());
  clock_.JumpWallClockMs(-1'000'000);
  condition_.older_than_ms = 100;
  const TrimResult result = store_->Trim(condition_);
  EXPECT_EQ(result.removed_entries, 1);
  EXPECT_GT(result.removed_bytes, 0);
  EXPECT_FALSE(Has(old));
  EXPECT_TRUE(Has(used));
}

TEST_F(StoreTrimTest, RemovesNothingWhenDry) {
  const EntryPtr entry = Put(Prompt(0));
  condition_.dry_run = true;
  EXPECT_EQ(store_->Trim(condition_).removed_entries, 1);
  EXPECT_TRUE(Has(entry));
}

TEST_F(StoreTrimTest, LeavesPinnedEntriesAndOtherTenants) {
  EntryRecipe theirs = Prompt(0);
  theirs.tenant = "other";
  const EntryPtr other = Put(theirs);
  const EntryPtr pinned = Put(Prompt(0));
  Put(Prompt(1000));
  auto lease = store_->Pin(SelectorOf(pinned), 100);
  const TrimResult result = store_->Trim(condition_);
  EXPECT_EQ(result.removed_entries, 1);
  EXPECT_EQ(result.pinned_entries, 1);
  EXPECT_TRUE(Has(pinned));
  EXPECT_TRUE(Has(other));
  EXPECT_TRUE(store_->Unpin("tenant", lease->id).ok());
}

TEST_F(StoreTrimTest, RemovesOneModelsEntries) {
  EntryRecipe other = Prompt(0);
  other.model = "other";
  const EntryPtr kept = Put(other);
  const EntryPtr removed = Put(Prompt(0));
  condition_.fingerprint = removed->identity().fingerprint;
  EXPECT_EQ(store_->Trim(condition_).removed_entries, 1);
  EXPECT_TRUE(Has(kept));
}

TEST_F(StoreTrimTest, RemovesWhatBeginsWithTheseBlocks) {
  Put(Prompt(0, 128));
  Put(Prompt(0, 300));
  Put(Compacted(Prompt(0, 400), 0.2));
  const EntryPtr shorter = Put(Prompt(0, 100));
  const EntryPtr other = Put(Prompt(5000, 300));
  condition_.prefix = DigestPrompt(CountingTokens(128), {}).digests;
  EXPECT_EQ(store_->Trim(condition_).removed_entries, 3);
  EXPECT_TRUE(Has(shorter));
  EXPECT_TRUE(Has(other));
  condition_.prefix = DigestPrompt(CountingTokens(100), {}).digests;  // ends in a short block
  EXPECT_EQ(store_->Trim(condition_).removed_entries, 1);
  EXPECT_FALSE(Has(shorter));
}

TEST_F(StoreTrimTest, GoesOnBeyondWhatItVisitsAtOnce) {
  for (uint32_t i = 0; i < 1500; ++i) PutAndForget(Prompt(i * 100, 1));
  ASSERT_EQ(store_->Stats().entries, 1500);
  EXPECT_EQ(store_->List("tenant", std::nullopt, std::nullopt, 1400).size(), 1400u);
  EXPECT_EQ(store_->Trim(condition_).removed_entries, 1500);
  EXPECT_EQ(store_->Stats().used_bytes, 0);
}

}  // namespace
}  // namespace chunkkv
