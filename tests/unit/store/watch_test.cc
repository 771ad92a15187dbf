// Events and snapshots.
#include <thread>

#include "tests/unit/store/store_fixture.h"

namespace chunkkv {
namespace {

class StoreWatchTest : public StoreTest {
 protected:
  // Events of the tenant since the last call.
  std::vector<StoreEvent> NewEvents(const std::string& tenant = "tenant") {
    bool gap = false;
    auto events = store_->EventsAfter(tenant, sequence_, 1000, &sequence_, &gap);
    EXPECT_FALSE(gap);
    return events;
  }
  void Begin(const std::string& tenant = "tenant") { store_->Snapshot(tenant, &sequence_); }
  int64_t sequence_ = 0;
};

TEST_F(StoreWatchTest, TellsWhatWasStoredAndWhyItWent) {
  Begin();
  EntryRecipe expiring = Prompt(1000);
  expiring.expires_unix_ms = clock_.UnixMs() + 10;
  const EntryPtr deleted = Put(Prompt(0)), expired = Put(expiring), damaged = Put(Prompt(2000));
  ASSERT_TRUE(store_->Delete(SelectorOf(deleted)).ok());
  store_->ReportDamaged(damaged);
  store_->ReportDamaged(damaged);
  clock_.AdvanceMs(10);
  store_->ExpireNow();
  const auto events = NewEvents();
  ASSERT_EQ(events.size(), 6u);
  const auto expect = [&](size_t i, const EntryPtr& entry, bool stored, RemovalReason reason) {
    EXPECT_EQ(events[i].entry->header().entry_id, entry->header().entry_id) << i;
    EXPECT_EQ(events[i].kind, stored ? StoreEvent::Kind::kStored : StoreEvent::Kind::kRemoved) << i;
    if (!stored) {
      EXPECT_EQ(events[i].reason, reason) << i;
    }
    if (i > 0) {
      EXPECT_EQ(events[i].sequence, events[i - 1].sequence + 1);
    }
  };
  expect(0, deleted, true, {});
  expect(1, expired, true, {});
  expect(2, damaged, true, {});
  expect(3, deleted, false, RemovalReason::kDeleted);
  expect(4, damaged, false, RemovalReason::kDamaged);
  expect(5, expired, false, RemovalReason::kExpired);
  EXPECT_EQ(store_->Stats().damaged_entries, 1);
  EXPECT_TRUE(NewEvents().empty());
}

TEST_F(StoreWatchTest, TellsOfEvictions) {
  PutAndForget(Prompt(0));
  Begin();
  ASSERT_TRUE(store_->Reserve(options_.host_budget_bytes).ok());
  const auto events = NewEvents();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].reason, RemovalReason::kEvicted);
}

TEST_F(StoreWatchTest, EventsDoNotKeepBytes) {
  Begin();
  EntryPtr entry = Put(Prompt(0, 1000));
  const int64_t body_bytes = entry->header().BodyBytes();
  ASSERT_TRUE(store_->Delete(SelectorOf(entry)).ok());
  entry.reset();
  const auto events = NewEvents();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(store_->Stats().used_bytes, 0);
  EXPECT_EQ(events[1].entry->header().BodyBytes(), body_bytes);
}

TEST_F(StoreWatchTest, TellsNobodyOfOtherTenants) {
  EntryRecipe theirs = Prompt(0);
  theirs.tenant = "other";
  int64_t before = 0, after = 0;
  EXPECT_TRUE(store_->Snapshot("tenant", &before).empty());
  Put(theirs);
  EXPECT_TRUE(store_->Snapshot("tenant", &after).empty());
  EXPECT_EQ(before, after);
  bool gap = true;
  EXPECT_TRUE(store_->EventsAfter("tenant", before, 10, &after, &gap).empty());
  EXPECT_FALSE(gap);
}

TEST_F(StoreWatchTest, ASnapshotContinuesWhereItsSequenceSays) {
  const EntryPtr before = Put(Prompt(0));
  const auto snapshot = store_->Snapshot("tenant", &sequence_);
  ASSERT_EQ(snapshot.size(), 1u);
  EXPECT_EQ(snapshot[0].entry->header().entry_id, before->header().entry_id);
  const EntryPtr later = Put(Prompt(1000));
  const auto events = NewEvents();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].entry->header().entry_id, later->header().entry_id);
}

TEST_F(StoreWatchTest, SnapshotsDoNotKeepEntriesFromMakingRoom) {
  PutAndForget(Prompt(0));
  const auto snapshot = store_->Snapshot("tenant", &sequence_);
  EXPECT_TRUE(store_->Reserve(options_.host_budget_bytes).ok());
}

TEST_F(StoreWatchTest, GivesAtMostTheLimitAndGoesOnFromThere) {
  Begin();
  for (uint32_t i = 0; i < 5; ++i) PutAndForget(Prompt(i * 1000, 10));
  bool gap = false;
  EXPECT_EQ(store_->EventsAfter("tenant", sequence_, 3, &sequence_, &gap).size(), 3u);
  EXPECT_EQ(store_->EventsAfter("tenant", sequence_, 3, &sequence_, &gap).size(), 2u);
}

TEST_F(StoreWatchTest, ReportsAGapWhenEventsAreNoLongerKept) {
  options_.watch_history = 3;
  Restart();
  Begin();
  const int64_t start = sequence_;
  for (uint32_t i = 0; i < 4; ++i) PutAndForget(Prompt(i * 1000, 10));
  bool gap = false;
  EXPECT_TRUE(store_->EventsAfter("tenant", start, 10, &sequence_, &gap).empty());
  EXPECT_TRUE(gap);
  EXPECT_EQ(store_->EventsAfter("tenant", start + 1, 10, &sequence_, &gap).size(), 3u);
  EXPECT_FALSE(gap);
  EXPECT_TRUE(store_->EventsAfter("tenant", sequence_ + 1, 10, &sequence_, &gap).empty());
  EXPECT_TRUE(gap);
}

TEST_F(StoreWatchTest, ASequenceOfAnEarlierLifeIsAGap) {
  Begin();
  Put(Prompt(0));
  NewEvents();
  clock_.AdvanceMs(1);
  Restart();
  for (uint32_t i = 0; i < 5; ++i) PutAndForget(Prompt(i * 1000, 10));
  bool gap = false;
  EXPECT_TRUE(store_->EventsAfter("tenant", sequence_, 10, &sequence_, &gap).empty());
  EXPECT_TRUE(gap);
}

TEST_F(StoreWatchTest, WakesWatchersUntilTheyAreRemoved) {
  std::atomic<int> woken = 0;
  const auto id = store_->AddWatcher([&] {
    ++woken;
    NewEvents();  // no lock is held
  });
  Begin();
  const EntryPtr entry = Put(Prompt(0));
  EXPECT_EQ(woken, 1);
  ASSERT_TRUE(store_->Delete(SelectorOf(entry)).ok());
  EXPECT_EQ(woken, 2);
  store_->RemoveWatcher(id);
  Put(Prompt(1000));
  EXPECT_EQ(woken, 2);
}

TEST_F(StoreWatchTest, ARemovedWatcherIsNotRunning) {
  for (uint32_t round = 0; round < 200; ++round) {
    auto alive = std::make_unique<std::atomic<int>>(0);
    const auto id = store_->AddWatcher([alive = alive.get()] { ++*alive; });
    std::thread putter([&] { PutAndForget(Prompt(round * 1000, 1)); });
    store_->RemoveWatcher(id);
    alive.reset();
    putter.join();
  }
}

}  // namespace
}  // namespace chunkkv
