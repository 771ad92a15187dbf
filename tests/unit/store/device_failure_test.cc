// A device that runs out of memory, damages what it holds, or fails for good.
#include "tests/unit/store/device_fixture.h"

namespace chunkkv {
namespace {

using absl::StatusCode;

using DeviceFailureTest = DeviceStoreTest;

TEST_F(DeviceFailureTest, OutOfMemoryIsNobodysError) {
  memory_->RunOutOfMemory();
  const Selector entry = Store(BigPrompt(0));
  for (int read = 0; read < 3; ++read) ExpectServed(BigPrompt(0));
  RunMoves();
  EXPECT_EQ(TierOf(entry), Tier::kHost);
  EXPECT_TRUE(Device().failure.ok());
  memory_->RunOutOfMemory(false);
  ExpectServed(BigPrompt(0));
  RunMoves();
  EXPECT_EQ(TierOf(entry), Tier::kDevice);
  FillHostMemory();
  memory_->RunOutOfMemory();
  ExpectServed(BigPrompt(0));  // without registered memory
  EXPECT_EQ(memory_->registration_count(), 0);
}

TEST_F(DeviceFailureTest, OutOfMemoryBelowTheBudgetMakesRoomInIt) {
  Store(BigPrompt(0));
  Store(BigPrompt(1));
  memory_->RunOutOfMemory();  // others have taken what the budget still allows
  Store(BigPrompt(2));
  for (int read = 0; read < 2; ++read) ExpectServed(BigPrompt(2));
  RunMoves();
  EXPECT_EQ(Device().entries, 2);
  EXPECT_EQ(Device().evictions, 1);
}

TEST_F(DeviceFailureTest, DamageOnTheDeviceIsFoundBeforeAReaderHasIt) {
  const Selector entry = Store(BigPrompt(0));
  FillHostMemory();
  memory_->DamageSlabs();
  EXPECT_THAT(Read(BigPrompt(0)), IsErrorStatus(StatusCode::kDataLoss, "DIGEST_MISMATCH"));
  EXPECT_FALSE(Has(entry));
  EXPECT_EQ(store_->Stats().damaged_entries, 1);
  EXPECT_EQ(Device().used_bytes, 0);
}

TEST_F(DeviceFailureTest, DamageOnTheDeviceIsFoundBeforeTheEntryMoves) {
  const Selector damaged = Store(BigPrompt(0));
  for (uint32_t i = 1; i < 4; ++i) Store(BigPrompt(i));
  FillHostMemory();
  memory_->DamageSlabs();
  Store(BigPrompt(4));
  for (int read = 0; read < 2; ++read) ExpectServed(BigPrompt(4));
  RunMoves();
  EXPECT_FALSE(Has(damaged));
  EXPECT_EQ(store_->Stats().damaged_entries, 1);
  EXPECT_EQ(Device().entries, 4) << "its place was taken";
}

TEST_F(DeviceFailureTest, DamageInHostMemoryIsHealedFromTheDevice) {
  const Selector selector = Store(BigPrompt(0));
  {
    const EntryPtr entry = store_->Describe(selector)->entry;
    const_cast<std::byte*>(entry->body().data())[1234] ^= std::byte{1};
    store_->Scrub(1 << 30);
    store_->ReportDamaged(entry);  // by a reader, who found it too
  }
  EXPECT_TRUE(Has(selector));
  EXPECT_EQ(store_->Stats().damaged_entries, 1);
  ExpectServed(BigPrompt(0));
  EXPECT_EQ(Device().returns, 1);
}

TEST_F(DeviceFailureTest, DamagedBytesAreNotCopiedToTheDevice) {
  const EntryPtr entry = Put(BigPrompt(0));
  const_cast<std::byte*>(entry->body().data())[1234] ^= std::byte{1};
  RunMoves();
  EXPECT_FALSE(Has(entry));
  EXPECT_EQ(Device().promotions, 0);
}

TEST_F(DeviceFailureTest, TheScrubberPassesByWhatIsOnTheDeviceAlone) {
  Store(BigPrompt(0));
  FillHostMemory();
  const Selector in_host = PutAndForget(Prompt(500'000));
  store_->Scrub(1 << 30);
  EXPECT_GT(store_->Stats().scrubbed_bytes, 0);
  EXPECT_EQ(store_->Stats().entries, 2);
}

// Two entries on the device alone, two in both tiers; then one more takes a place, and one comes back. Wherever in all
// this the device fails, what host memory has is served, byte for byte, and the rest is a miss.
TEST_F(DeviceFailureTest, FailingAtAnyCallItTakesOnlyWhatItAloneHad) {
  bool failed = true;
  for (int call_count = 0; failed; ++call_count) {
    SCOPED_TRACE(call_count);
    OpenDevice();
    losses_.clear();
    memory_->BreakAfter(call_count);
    int64_t sequence = 0;
    store_->Snapshot("tenant", &sequence);
    std::vector<Selector> entries;
    for (uint32_t i = 0; i < 2; ++i) entries.push_back(Store(BigPrompt(i)));
    FillHostMemory();
    for (uint32_t i = 2; i < 5; ++i) entries.push_back(Store(BigPrompt(i)));
    for (int read = 0; read < 2; ++read) {
      const absl::Status status = Read(BigPrompt(4));
      EXPECT_TRUE(status.ok()) << status;  // it never was on the device alone
    }
    RunMoves();
    const absl::Status last_read = Read(BigPrompt(1));
    failed = memory_->is_broken();

    EXPECT_EQ(losses_.size(), failed ? 1u : 0u);
    EXPECT_EQ(Device().failure.ok(), !failed);
    std::vector<bool> is_lost(5, false);
    bool gap = false;
    for (const StoreEvent& event : store_->EventsAfter("tenant", sequence, 1000, &sequence, &gap)) {
      if (event.kind != StoreEvent::Kind::kRemoved || event.reason != RemovalReason::kLost) continue;
      for (size_t i = 0; i < 5; ++i) is_lost[i] = is_lost[i] || *entries[i].entry_id == event.entry->header().entry_id;
    }
    for (uint32_t i = 0; i < 5; ++i) {
      SCOPED_TRACE(i);
      if (Has(entries[i])) {
        EXPECT_FALSE(is_lost[i]);
        ExpectServed(BigPrompt(i));
      } else {
        // Evicted from host memory after the device was lost, or lost with it.
        EXPECT_LT(i, 2u);
        EXPECT_THAT(Read(BigPrompt(i)), IsErrorStatus(StatusCode::kNotFound, "ENTRY_NOT_FOUND"));
      }
    }
    if (failed) {
      EXPECT_EQ(Device().entries, 0);
      EXPECT_EQ(Device().used_bytes, 0);
      // From now on the server is as one without a device.
      const int calls = memory_->call_count();
      Store(BigPrompt(7));
      for (int read = 0; read < 3; ++read) ExpectServed(BigPrompt(7));
      RunMoves();
      EXPECT_EQ(memory_->call_count(), calls);
    } else {
      EXPECT_TRUE(last_read.ok()) << last_read;
      EXPECT_GT(call_count, 15) << "the device was hardly used";
    }
    ExpectAtRest(*store_);
  }
}

TEST_F(DeviceFailureTest, APinnedEntryIsLostOnlyWithItsLastCopy) {
  const Selector entry = Store(BigPrompt(0));
  ASSERT_TRUE(store_->Pin(entry, 1000).ok());
  memory_->Break();
  Store(BigPrompt(1));
  EXPECT_EQ(losses_.size(), 1u);
  EXPECT_TRUE(Has(entry));
  ExpectServed(BigPrompt(0));
  clock_.AdvanceMs(1000);
}

}  // namespace
}  // namespace chunkkv
