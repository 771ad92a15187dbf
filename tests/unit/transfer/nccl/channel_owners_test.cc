#include "service/transfer/nccl/channel_owners.h"

#include <gtest/gtest.h>

#include "chunkkv/kernels/status.h"

namespace chunkkv {
namespace {

TEST(ChannelOwnersTest, AreFoundByTheirTenantsUntilTheyGo) {
  ChannelOwners owners;
  const ChannelOwners::Named first = owners.Add("a");
  const ChannelOwners::Named second = owners.Add("a");
  EXPECT_NE(first.owner, kNoOwner);
  EXPECT_NE(first.owner, second.owner);
  EXPECT_NE(first.id, second.id);
  EXPECT_EQ(owners.Find("a", first.id).value(), first.owner);
  EXPECT_EQ(StatusReason(owners.Find("b", first.id).status()), "OWNER_NOT_FOUND");
  EXPECT_EQ(owners.Find("b", first.id).status(), owners.Find("a", Bytes16()).status());
  owners.Remove(first.id);
  EXPECT_EQ(StatusReason(owners.Find("a", first.id).status()), "OWNER_NOT_FOUND");
  EXPECT_EQ(owners.Find("a", second.id).value(), second.owner);
}

}  // namespace
}  // namespace chunkkv
