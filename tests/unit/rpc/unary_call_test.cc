// Unary handlers stop when nobody waits for them, and ask the store once for what they ask for many times.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "chunkkv/kernels/status.h"
#include "service/rpc/catalog_rpcs.h"
#include "service/rpc/wire_bytes.h"
#include "tests/support/store_at_rest.h"
#include "tests/support/test_entry.h"
#include "tests/unit/rpc/rpc_context_fixture.h"

namespace chunkkv::rpc {
namespace {

class UnaryCallTest : public RpcContextTest {
 protected:
  // Cancelled at the `active_checks`th look.
  UnaryCall CallEndingAfter(int active_checks) {
    return UnaryCall(context_, "tenant", [left = std::make_shared<int>(active_checks)] { return (*left)-- <= 0; });
  }

  std::string StoreOne() {
    const auto result = PutEntry(store_, EntryRecipe());
    EXPECT_TRUE(result.ok()) << result.status();
    return ToString(result->entry->header().entry_id);
  }
};

TEST_F(UnaryCallTest, IsActiveUntilTheServersLimit) {
  const UnaryCall call(context_, "tenant", [] { return false; });
  clock_.AdvanceMs(999);
  EXPECT_TRUE(call.CheckActive().ok());
  clock_.AdvanceMs(1);
  EXPECT_EQ(call.CheckActive().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(StatusReason(call.CheckActive()), "RPC_TOO_LONG");
}

TEST_F(UnaryCallTest, BatchesEndWhenTheyAreCancelled) {
  v1::EntrySelector selector;
  selector.set_entry_id(StoreOne());
  v1::DescribeCachesRequest describe;
  v1::DeleteCachesRequest remove;
  v1::UnpinCachesRequest unpin;
  v1::FindLongestPrefixRequest find;
  for (int i = 0; i < 5; ++i) {
    *describe.add_entries() = selector;
    remove.add_entries()->set_entry_id(std::string(16, 'x'));
    unpin.add_pin_ids(std::string(16, 'p'));
    find.add_queries();
  }
  v1::DescribeCachesResponse described;
  v1::DeleteCachesResponse removed;
  v1::UnpinCachesResponse unpinned;
  v1::FindLongestPrefixResponse found;
  UnaryCall a = CallEndingAfter(2), b = CallEndingAfter(2), c = CallEndingAfter(2), d = CallEndingAfter(2);
  EXPECT_EQ(StatusReason(DescribeCaches(a, describe, &described)), "CANCELLED");
  EXPECT_EQ(StatusReason(DeleteCaches(b, remove, &removed)), "CANCELLED");
  EXPECT_EQ(StatusReason(UnpinCaches(c, unpin, &unpinned)), "CANCELLED");
  EXPECT_EQ(StatusReason(FindLongestPrefix(d, find, &found)), "CANCELLED");
  EXPECT_EQ(described.items_size(), 2);
  EXPECT_EQ(removed.items_size(), 2);
  EXPECT_EQ(unpinned.items_size(), 2);
  EXPECT_EQ(found.results_size(), 2);
}

TEST_F(UnaryCallTest, CancelledPinsAreGivenBack) {
  v1::PinCachesRequest request;
  request.set_duration_ms(1000);
  for (int i = 0; i < 5; ++i) request.add_entries()->set_entry_id(StoreOne());
  v1::PinCachesResponse response;
  UnaryCall call = CallEndingAfter(3);
  EXPECT_EQ(StatusReason(PinCaches(call, request, &response)), "CANCELLED");
  EXPECT_EQ(response.items_size(), 3);
  EXPECT_EQ(store_.Stats().pins, 0);
}

TEST_F(UnaryCallTest, LeasesOfACancelledFindAreGivenBack) {
  const EntryRecipe recipe;
  const MadeEntry made = MakeEntry(recipe);
  StoreOne();
  v1::FindLongestPrefixRequest request;
  for (int i = 0; i < 5; ++i) {
    auto* const query = request.add_queries();
    query->set_fingerprint(ToString(made.identity.fingerprint));
    query->mutable_prompt()->mutable_tokens()->Add(recipe.tokens.begin(), recipe.tokens.end());
    query->set_hold_ms(1000);
  }
  v1::FindLongestPrefixResponse response;
  UnaryCall call = CallEndingAfter(3);
  EXPECT_EQ(StatusReason(FindLongestPrefix(call, request, &response)), "CANCELLED");
  ASSERT_EQ(response.results_size(), 3);
  EXPECT_FALSE(response.results(0).lease_id().empty()) << response.results(0).status().message();
  EXPECT_EQ(store_.Stats().pins, 0);
}

TEST_F(UnaryCallTest, ListsEndWhenTheyAreCancelled) {
  StoreOne();
  v1::ListCachesResponse response;
  UnaryCall call = CallEndingAfter(0);
  EXPECT_EQ(StatusReason(ListCaches(call, v1::ListCachesRequest(), &response)), "CANCELLED");
}

TEST_F(UnaryCallTest, AFingerprintIsLookedUpOnce) {
  const MadeEntry made = MakeEntry(EntryRecipe());
  StoreOne();
  v1::DescribeCachesRequest request;
  auto* const name = request.add_entries()->mutable_name();
  name->set_fingerprint(ToString(made.identity.fingerprint));
  name->set_key(ToString(made.identity.key));
  const auto looks_of = [&](int count) {
    while (request.entries_size() < count) *request.add_entries() = request.entries(0);
    v1::DescribeCachesResponse response;
    UnaryCall call = CallEndingAfter(1000);
    const int64_t before = clock_.looks;
    EXPECT_TRUE(DescribeCaches(call, request, &response).ok());
    EXPECT_EQ(response.items(count - 1).status().code(), 0) << response.items(count - 1).status().message();
    return clock_.looks - before;
  };
  const int64_t looks_of_one = looks_of(1);
  const int64_t looks_of_two = looks_of(2);
  EXPECT_LT(looks_of_two - looks_of_one, looks_of_one);
  EXPECT_EQ(looks_of(10) - looks_of_one, 9 * (looks_of_two - looks_of_one));
}

}  // namespace
}  // namespace chunkkv::rpc
