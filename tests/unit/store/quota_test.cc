// What a tenant may have, and that nobody pushes another out.
#include <algorithm>
#include <thread>
#include <vector>

#include "tests/unit/store/device_fixture.h"

namespace chunkkv {
namespace {

using absl::StatusCode;

EntryRecipe PromptOf(const std::string& tenant, uint32_t number) {
  EntryRecipe recipe = BigPrompt(number);
  recipe.tenant = tenant;
  return recipe;
}

class QuotaTest : public StoreTest {
 protected:
  QuotaTest() : StoreTest(10 * kMiB) {
    options_.quota_of = [this](const std::string& tenant) { return tenant == "small" ? quota_ : TenantQuota(); };
    Restart();
  }
  absl::StatusOr<CommitResult> TryPut(const EntryRecipe& recipe) { return PutEntry(*store_, recipe); }
  Selector Store(const std::string& tenant, uint32_t number) { return PutAndForget(PromptOf(tenant, number)); }

  TenantQuota quota_;
};

TEST_F(QuotaTest, BeyondItsBytesATenantsOwnOldestMakeRoom) {
  quota_.host_bytes = 2 * kMiB + kMiB / 2;
  const Selector of_other = Store("other", 9);
  const Selector first = Store("small", 0);
  const Selector second = Store("small", 1);
  const Selector third = Store("small", 2);
  EXPECT_FALSE(Has(first));
  EXPECT_TRUE(Has(second));
  EXPECT_TRUE(Has(third));
  EXPECT_TRUE(Has(of_other));
  EXPECT_LE(store_->StatsOf("small").entry_bytes, *quota_.host_bytes);
}

TEST_F(QuotaTest, BeyondItsEntriesTheSame) {
  quota_.entries = 2;
  std::vector<Selector> entries;
  for (uint32_t i = 0; i < 4; ++i) entries.push_back(Store("small", i));
  EXPECT_FALSE(Has(entries[0]) || Has(entries[1]));
  EXPECT_TRUE(Has(entries[2]) && Has(entries[3]));
  EXPECT_EQ(store_->StatsOf("small").entries, 2);
}

TEST_F(QuotaTest, WhatIsPinnedMakesNoRoomAndNothingGoesInVain) {
  quota_.host_bytes = 2 * kMiB + kMiB / 2;
  const Selector first = Store("small", 0);
  const Selector second = Store("small", 1);
  for (const Selector& entry : {first, second}) ASSERT_TRUE(store_->Pin(entry, 1000).ok());
  EXPECT_THAT(TryPut(PromptOf("small", 2)), IsError(StatusCode::kResourceExhausted, "QUOTA_HOST_BYTES"));
  quota_.entries = 2;
  quota_.host_bytes.reset();
  EXPECT_THAT(TryPut(PromptOf("small", 2)), IsError(StatusCode::kResourceExhausted, "QUOTA_ENTRIES"));
  EXPECT_TRUE(Has(first) && Has(second));
  clock_.AdvanceMs(1001);
  EXPECT_TRUE(TryPut(PromptOf("small", 2)).ok());
}

TEST_F(QuotaTest, WhoWaitsForAPutThatTheQuotaRefusesIsToldAtOnce) {
  quota_.entries = 1;
  ASSERT_TRUE(store_->Pin(Store("small", 0), 1000).ok());
  absl::StatusOr<EntryPtr> got = absl::UnknownError("not called");
  store_->Wait(PromptNameOf(MakeEntry(PromptOf("small", 1)).identity), kAcceptExact,
               [&](absl::StatusOr<EntryPtr> entry) { got = std::move(entry); });
  EXPECT_THAT(TryPut(PromptOf("small", 1)), IsError(StatusCode::kResourceExhausted, "QUOTA_ENTRIES"));
  EXPECT_THAT(got, IsError(StatusCode::kAborted, "PUT_FAILED"));
  clock_.AdvanceMs(1000);
}

TEST_F(QuotaTest, AnEntryAboveTheQuotaIsRefusedBeforeItIsSent) {
  quota_.host_bytes = 1000;
  EXPECT_THAT(store_->CheckEntrySize("small", 1001), IsErrorStatus(StatusCode::kResourceExhausted, "ENTRY_TOO_LARGE"));
  EXPECT_TRUE(store_->CheckEntrySize("small", 1000).ok());
  EXPECT_TRUE(store_->CheckEntrySize("other", 1001).ok());
}

TEST_F(QuotaTest, PutsInProgressHoldNoMoreThanTheQuota) {
  quota_.in_flight_bytes = 100;
  {
    const auto first = store_->HoldInFlight("small", 60);
    ASSERT_TRUE(first.ok());
    EXPECT_THAT(store_->HoldInFlight("small", 41), IsError(StatusCode::kResourceExhausted, "QUOTA_IN_FLIGHT"));
    EXPECT_TRUE(store_->HoldInFlight("small", 40).ok());
    EXPECT_TRUE(store_->HoldInFlight("other", 1000).ok());
  }
  EXPECT_TRUE(store_->HoldInFlight("small", 100).ok());
}

TEST_F(QuotaTest, PinsAreNoLongerThanTheQuota) {
  quota_.max_pin_ms = 500;
  const Selector entry = Store("small", 0);
  EXPECT_EQ(store_->MaxPinMs("small"), 500);
  EXPECT_THAT(store_->Pin(entry, 501), IsError(StatusCode::kInvalidArgument, "BAD_PIN"));
  EXPECT_TRUE(store_->Pin(entry, 500).ok());
  EXPECT_EQ(store_->MaxPinMs("other"), options_.max_pin_ms);
  clock_.AdvanceMs(500);
}

TEST_F(QuotaTest, ATenantThatPinsAllItCanLeavesTheOthersTheirPart) {
  options_.is_shared = true;
  Restart();
  const Selector of_greedy = Store("greedy", 0);
  absl::Status refusal;
  while (refusal.ok()) refusal = store_->Pin(of_greedy, 1000).status();
  EXPECT_THAT(refusal, IsErrorStatus(StatusCode::kResourceExhausted, "TOO_MANY_PINS"));
  EXPECT_TRUE(store_->Pin(Store("other", 0), 1000).ok());
  EXPECT_TRUE(PutEntry(*store_, PromptOf("other", 1), {.pin_ms = 1000})->pin.has_value());
  clock_.AdvanceMs(1000);
}

TEST_F(QuotaTest, ATenantThatFillsTheBudgetLeavesTheOthersTheirShare) {
  const Selector of_quiet = Store("quiet", 100);
  std::vector<Selector> of_greedy;
  for (uint32_t i = 0; i < 20; ++i) of_greedy.push_back(Store("greedy", i));
  EXPECT_TRUE(Has(of_quiet)) << "it is the least recently used, and far below its share";
  EXPECT_FALSE(Has(of_greedy[0]));
  EXPECT_TRUE(Has(of_greedy.back()));
}

class DeviceQuotaTest : public DeviceStoreTest {
 protected:
  DeviceQuotaTest() {
    options_.quota_of = [](const std::string& tenant) {
      TenantQuota quota;
      if (tenant == "small") quota.device_bytes = kMiB + kMiB / 2;
      return quota;
    };
    OpenDevice();
  }
};

TEST_F(DeviceQuotaTest, NoMoreThanTheQuotaIsCopiedToTheDevice) {
  const Selector first = DeviceStoreTest::Store(PromptOf("small", 0));
  const Selector second = DeviceStoreTest::Store(PromptOf("small", 1));
  const Selector of_other = DeviceStoreTest::Store(PromptOf("other", 2));
  EXPECT_EQ(TierOf(first), Tier::kDevice);
  EXPECT_EQ(TierOf(second), Tier::kHost);
  EXPECT_EQ(TierOf(of_other), Tier::kDevice);
}

TEST_F(DeviceQuotaTest, NorOfABurstThatCameBeforeAnyWasCopied) {
  std::vector<Selector> entries;
  for (uint32_t i = 0; i < 3; ++i) entries.push_back(PutAndForget(PromptOf("small", i)));
  RunMoves();
  EXPECT_EQ(TierOf(entries[0]), Tier::kDevice);
  EXPECT_EQ(TierOf(entries[1]), Tier::kHost);
  EXPECT_EQ(TierOf(entries[2]), Tier::kHost);
  EXPECT_EQ(Device().promotions, 1);
}

// Host memory for two entries and a half, of which one tenant may have one and a half.
class ReturnQuotaTest : public DeviceStoreTest {
 protected:
  ReturnQuotaTest() : DeviceStoreTest(5 * kMiB / 2) {
    options_.quota_of = [](const std::string& tenant) {
      TenantQuota quota;
      if (tenant == "small") quota.host_bytes = kMiB + kMiB / 2;
      return quota;
    };
    OpenDevice();
    of_other_ = DeviceStoreTest::Store(PromptOf("other", 9));
    for (uint32_t i = 0; i < 3; ++i) entries_.push_back(DeviceStoreTest::Store(PromptOf("small", i)));
    ExpectServed(PromptOf("other", 9));
  }
  int64_t HostCount() {
    return std::count_if(entries_.begin(), entries_.end(), [this](const Selector& entry) { return IsInHost(entry); });
  }

  Selector of_other_;
  std::vector<Selector> entries_;  // on the device all of them
};

TEST_F(ReturnQuotaTest, WhatComesBackFromTheDeviceTakesThePlaceOfTheTenantsOwn) {
  ASSERT_EQ(Device().entries, 4);
  ASSERT_TRUE(IsInHost(of_other_));
  for (uint32_t i = 0; i < 3; ++i) {
    ExpectServed(PromptOf("small", i));
    EXPECT_TRUE(IsInHost(entries_[i]));
    EXPECT_EQ(HostCount(), 1);
    EXPECT_TRUE(IsInHost(of_other_));
  }
  EXPECT_EQ(store_->StatsOf("small").entries, 3);
}

TEST_F(ReturnQuotaTest, NothingComesBackWhereTheTenantsOwnMayNotGo) {
  ASSERT_TRUE(IsInHost(entries_[2]));
  ASSERT_TRUE(store_->Pin(entries_[2], 1000).ok());
  EXPECT_THAT(Read(PromptOf("small", 0)), IsErrorStatus(StatusCode::kResourceExhausted, "QUOTA_HOST_BYTES"));
  EXPECT_TRUE(Has(entries_[0]));
  EXPECT_TRUE(IsInHost(entries_[2]));
  clock_.AdvanceMs(1000);
  ExpectServed(PromptOf("small", 0));
}

TEST_F(ReturnQuotaTest, NorDoReadersAtTheSameTimePassIt) {
  for (int round = 0; round < 10; ++round) {
    std::vector<std::thread> readers;
    for (uint32_t i = 0; i < 3; ++i) readers.emplace_back([this, i] { Read(PromptOf("small", i)).IgnoreError(); });
    for (std::thread& reader : readers) reader.join();
    EXPECT_LE(HostCount(), 1);
  }
}

}  // namespace
}  // namespace chunkkv
