#include "service/transfer/region/region_table.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "chunkkv/kernels/status.h"
#include "tests/support/local_client.h"

namespace chunkkv {
namespace {

constexpr int64_t kBytes = 8192;

class RegionTableTest : public testing::Test {
 protected:
  Bytes32 Offer(PeerId peer) {
    const auto token = table_.Offer(peer, FileDescriptor(dup(file_.descriptor())));
    EXPECT_TRUE(token.ok()) << token.status();
    return token.value_or(Bytes32{});
  }
  Bytes16 Register(PeerId peer, const std::string& tenant) {
    const auto id = table_.Register(tenant, Offer(peer), kBytes, "name");
    EXPECT_TRUE(id.ok()) << id.status();
    return id.value_or(Bytes16{});
  }

  SharedFile file_{kBytes};
  RegionTable table_{{.max_regions = 4, .max_regions_of_tenant = 2, .max_offers_of_peer = 2}};
};

TEST_F(RegionTableTest, ARegionIsItsTenantsAlone) {
  const Bytes16 id = Register(1, "a");
  EXPECT_TRUE(table_.Find("a", id).ok());
  EXPECT_EQ(StatusReason(table_.Find("b", id).status()), "REGION_NOT_FOUND");
  EXPECT_EQ(StatusReason(table_.Unregister("b", id, [] {})), "REGION_NOT_FOUND");
  EXPECT_EQ(table_.List("a").size(), 1u);
  EXPECT_TRUE(table_.List("b").empty());
}

TEST_F(RegionTableTest, UnregisteringWaitsUntilNothingTouchesTheRegion) {
  const Bytes16 id = Register(1, "a");
  const RegionPtr region = table_.Find("a", id).value();
  Gate::Pass pass = region->gate->Enter();
  bool quiet = false;
  EXPECT_TRUE(table_.Unregister("a", id, [&] { quiet = true; }).ok());
  EXPECT_FALSE(quiet);
  EXPECT_FALSE(table_.Find("a", id).ok());
  EXPECT_FALSE(region->gate->Enter());
  pass = Gate::Pass();
  EXPECT_TRUE(quiet);
}

TEST_F(RegionTableTest, ForgetsEverythingOfAPeerAndNothingOfOthers) {
  const Bytes32 token = Offer(1);
  const Bytes16 id = Register(1, "a");
  const Bytes16 other = Register(2, "a");
  table_.Forget(1);
  EXPECT_EQ(StatusReason(table_.Register("a", token, kBytes, "").status()), "TOKEN_NOT_FOUND");
  EXPECT_FALSE(table_.Find("a", id).ok());
  EXPECT_TRUE(table_.Find("a", other).ok());
  table_.Forget(2);
  EXPECT_EQ(table_.size(), 0);
}

TEST_F(RegionTableTest, IsBoundedForEachPeerEachTenantAndAll) {
  Offer(1);
  Offer(1);
  EXPECT_EQ(StatusReason(table_.Offer(1, FileDescriptor(dup(file_.descriptor()))).status()), "TOO_MANY_OFFERS");
  Register(2, "a");
  Register(2, "a");
  EXPECT_EQ(StatusReason(table_.Register("a", Offer(3), kBytes, "").status()), "TOO_MANY_REGIONS");
  Register(2, "b");
  Register(2, "b");
  EXPECT_EQ(StatusReason(table_.Register("c", Offer(3), kBytes, "").status()), "TOO_MANY_REGIONS");
}

TEST_F(RegionTableTest, ARefusedRegistrationOfAFullTableKeepsItsToken) {
  const Bytes16 first = Register(2, "a");
  Register(2, "a");
  const Bytes32 token = Offer(3);
  EXPECT_FALSE(table_.Register("a", token, kBytes, "").ok());
  EXPECT_TRUE(table_.Unregister("a", first, [] {}).ok());
  EXPECT_TRUE(table_.Register("a", token, kBytes, "").ok());
}

}  // namespace
}  // namespace chunkkv
