#include "service/transfer/region/mapping_table.h"

#include <gtest/gtest.h>

#include <memory>

#include "chunkkv/kernels/status.h"
#include "tests/support/fake_clock.h"

namespace chunkkv {
namespace {

class MappingTableTest : public testing::Test {
 protected:
  FakeClock clock_;
  MappingTable table_{clock_, 3};
  const Caller caller_{.tenant = "t"};
  std::shared_ptr<int> entry_ = std::make_shared<int>(1);
};

TEST_F(MappingTableTest, HoldsTheEntryUntilItsPeerReleasesIt) {
  const Bytes32 token = table_.Lease(caller_, entry_, 5).value();
  {
    const auto fetched = table_.Fetch(1, token);
    ASSERT_TRUE(fetched.ok());
    EXPECT_EQ(fetched->descriptor, 5);
    EXPECT_EQ(fetched->caller.tenant, "t");
  }
  EXPECT_EQ(StatusReason(table_.Fetch(1, token).status()), "TOKEN_NOT_FOUND");
  EXPECT_EQ(entry_.use_count(), 2);
  table_.Release(2, token);
  EXPECT_EQ(entry_.use_count(), 2);
  table_.Release(1, token);
  EXPECT_EQ(entry_.use_count(), 1);
}

TEST_F(MappingTableTest, ForgetsAPeerAndNobodyElse) {
  const Bytes32 mine = table_.Lease(caller_, entry_, 5).value();
  EXPECT_TRUE(table_.Fetch(1, mine).ok());
  EXPECT_TRUE(table_.Lease(caller_, entry_, 5, PeerId{2}).ok());
  table_.Forget(1);
  EXPECT_EQ(table_.size(), 1);
  table_.Forget(2);
  EXPECT_EQ(entry_.use_count(), 1);
}

TEST_F(MappingTableTest, ExpiresWhatNobodyFetched) {
  const Bytes32 fetched = table_.Lease(caller_, entry_, 5).value();
  EXPECT_TRUE(table_.Fetch(1, fetched).ok());
  EXPECT_TRUE(table_.Lease(caller_, entry_, 5).ok());
  clock_.AdvanceMs(MappingTable::kFetchWithinMs - 1);
  table_.Expire();
  EXPECT_EQ(table_.size(), 2);
  clock_.AdvanceMs(1);
  table_.Expire();
  EXPECT_EQ(table_.size(), 1);
}

TEST_F(MappingTableTest, IsBounded) {
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(table_.Lease(caller_, entry_, 5).ok());
  EXPECT_EQ(StatusReason(table_.Lease(caller_, entry_, 5).status()), "TOO_MANY_MAPPINGS");
}

}  // namespace
}  // namespace chunkkv
