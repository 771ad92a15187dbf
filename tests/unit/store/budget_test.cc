// Room: what is charged, who makes room, and when a put is refused.
#include <vector>

#include "tests/unit/store/store_fixture.h"

namespace chunkkv {
namespace {

using absl::StatusCode;

class StoreBudgetTest : public StoreTest {
 protected:
  StoreBudgetTest() : StoreTest(int64_t{1} << 20) {}

  // One entry's charge, found by putting it.
  int64_t ChargeOf(const EntryRecipe& recipe) {
    const int64_t before = store_->Stats().used_bytes;
    PutAndForget(recipe);
    return store_->Stats().used_bytes - before;
  }
  int64_t FreeBytes() { return store_->Stats().budget_bytes - store_->Stats().used_bytes; }
};

TEST_F(StoreBudgetTest, ChargesPagesOfTheBodyAndTheHeader) {
  const EntryRecipe recipe = Prompt(0);
  const int64_t charge = ChargeOf(recipe);
  const auto pages = Buffer::ChargedBytes(static_cast<int64_t>(MakeEntry(recipe).body.size()));
  EXPECT_GT(charge, pages);
  EXPECT_LT(charge, pages + 20'000);
  EXPECT_EQ(store_->Stats().entry_bytes, charge);
  EXPECT_EQ(store_->StatsOf("tenant").entry_bytes, charge);
}

TEST_F(StoreBudgetTest, CountsReservations) {
  auto share = store_->Reserve(100'000);
  ASSERT_TRUE(share.ok());
  EXPECT_EQ(store_->Stats().used_bytes, 100'000);
  share->Release();
  EXPECT_EQ(store_->Stats().used_bytes, 0);
}

TEST_F(StoreBudgetTest, EvictsLeastRecentlyUsedWhenFull) {
  const Selector a = PutAndForget(Prompt(1000));
  const Selector b = PutAndForget(Prompt(2000));
  const Selector c = PutAndForget(Prompt(3000));
  const EntryIdentity used = MakeEntry(Prompt(1000)).identity;
  ASSERT_TRUE(store_->Get(PromptNameOf(used), kAcceptExact, std::nullopt).ok());
  auto share = store_->Reserve(FreeBytes() + 1);
  ASSERT_TRUE(share.ok());
  EXPECT_TRUE(Has(a));
  EXPECT_FALSE(Has(b));
  EXPECT_TRUE(Has(c));
  EXPECT_EQ(store_->Stats().evictions, 1);
}

TEST_F(StoreBudgetTest, EvictsAsManyAsNeeded) {
  const int64_t charge = ChargeOf(Prompt(0));
  std::vector<Selector> entries;
  for (uint32_t i = 1; i < 6; ++i) entries.push_back(PutAndForget(Prompt(1000 * i)));
  auto share = store_->Reserve(FreeBytes() + 2 * charge + 1);
  ASSERT_TRUE(share.ok());
  EXPECT_EQ(store_->Stats().evictions, 3);
  EXPECT_FALSE(Has(entries[1]));
  EXPECT_TRUE(Has(entries[2]));
}

TEST_F(StoreBudgetTest, RefusesForEverWhatExceedsTheBudget) {
  const Selector kept = PutAndForget(Prompt(0));
  EXPECT_THAT(store_->Reserve((int64_t{1} << 20) + 1), IsError(StatusCode::kResourceExhausted, "ENTRY_TOO_LARGE"));
  EXPECT_THAT(store_->Reserve(INT64_MAX), IsError(StatusCode::kResourceExhausted, "ENTRY_TOO_LARGE"));
  EXPECT_TRUE(Has(kept));
}

TEST_F(StoreBudgetTest, RefusesEntriesAboveTheirLimit) {
  options_.max_entry_bytes = 4096;
  Restart();
  EXPECT_THAT(store_->CheckEntrySize("tenant", 4097), IsErrorStatus(StatusCode::kResourceExhausted, "ENTRY_TOO_LARGE"));
  EXPECT_TRUE(store_->CheckEntrySize("tenant", 4096).ok());
  EXPECT_TRUE(store_->Reserve(4097).ok()) << "of staging, which is no entry";
}

TEST_F(StoreBudgetTest, EvictsNothingWhenThatWouldNotBeEnough) {
  const Selector unpinned = PutAndForget(Prompt(0));
  const Selector pinned = PutAndForget(Prompt(1000, 5000));
  auto lease = store_->Pin(pinned, 1000);
  ASSERT_TRUE(lease.ok());
  EXPECT_THAT(store_->Reserve(int64_t{1} << 20), IsError(StatusCode::kResourceExhausted, "BUDGET"));
  EXPECT_TRUE(Has(unpinned));
  EXPECT_TRUE(Has(pinned));
  ASSERT_TRUE(store_->Unpin("tenant", lease->id).ok());
  EXPECT_TRUE(store_->Reserve(int64_t{1} << 20).ok());
  EXPECT_FALSE(Has(pinned));
}

TEST_F(StoreBudgetTest, LeavesReadEntriesChargedAndInPlace) {
  EntryPtr reader = Put(Prompt(0, 5000));
  const Selector other = PutAndForget(Prompt(9000));
  EXPECT_THAT(store_->Reserve(int64_t{1} << 20), IsError(StatusCode::kResourceExhausted, "BUDGET"));
  EXPECT_TRUE(Has(other));
  reader.reset();
  EXPECT_TRUE(store_->Reserve(int64_t{1} << 20).ok());
}

TEST_F(StoreBudgetTest, KeepsADeletedEntryChargedUntilItsLastReaderIsDone) {
  EntryPtr reader = Put(Prompt(0));
  const int64_t charge = store_->Stats().used_bytes;
  ASSERT_TRUE(store_->Delete(SelectorOf(reader)).ok());
  EXPECT_EQ(store_->Stats().entry_bytes, 0);
  EXPECT_EQ(store_->Stats().used_bytes, charge);
  EXPECT_EQ(reader->body().back(), MakeEntry(Prompt(0)).body.back());
  reader.reset();
  EXPECT_EQ(store_->Stats().used_bytes, 0);
}

TEST_F(StoreBudgetTest, RemovesTheExpiredBeforeAnythingElse) {
  const Selector oldest = PutAndForget(Prompt(0));
  EntryRecipe short_lived = Prompt(1000);
  short_lived.expires_unix_ms = clock_.UnixMs() + 50;
  const Selector expiring = PutAndForget(short_lived);
  clock_.AdvanceMs(50);
  ASSERT_TRUE(store_->Reserve(FreeBytes() + 1).ok());
  EXPECT_TRUE(Has(oldest));
  EXPECT_FALSE(Has(expiring));
  EXPECT_EQ(store_->Stats().evictions, 0);
}

TEST_F(StoreBudgetTest, RefusesTheHeaderThatNoLongerFits) {
  const MadeEntry made = MakeEntry(Prompt(0));
  const auto size_bytes = static_cast<int64_t>(made.body.size());
  auto share = store_->Reserve(Buffer::ChargedBytes(size_bytes));
  auto body = Buffer::Allocate(size_bytes, *std::move(share));
  std::copy(made.body.begin(), made.body.end(), body->data());
  auto rest = store_->Reserve(FreeBytes());
  EXPECT_THAT(store_->Commit(store_->BeginPut(made.identity), made.identity, made.header, *std::move(body), {}),
              IsError(StatusCode::kResourceExhausted, "BUDGET"));
}

TEST_F(StoreBudgetTest, TakesTheHeaderFromWhatWasReservedForIt) {
  const MadeEntry made = MakeEntry(Prompt(0));
  const int64_t charge = ChargeOf(Prompt(1000));
  const auto size_bytes = static_cast<int64_t>(made.body.size());
  auto share = store_->Reserve(charge + 5000);
  auto body = Buffer::Allocate(size_bytes, share->Split(Buffer::ChargedBytes(size_bytes)));
  std::copy(made.body.begin(), made.body.end(), body->data());
  auto rest = store_->Reserve(FreeBytes());
  const auto result = store_->Commit(store_->BeginPut(made.identity), made.identity, made.header, *std::move(body), {},
                                     *std::move(share));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(store_->Stats().evictions, 0);
  EXPECT_EQ(FreeBytes(), 5000);
}

}  // namespace
}  // namespace chunkkv
