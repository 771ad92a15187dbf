#include "service/transfer/region/transfer_table.h"

#include <gtest/gtest.h>

#include <string>

#include "chunkkv/kernels/status.h"

namespace chunkkv {
namespace {

TEST(TransferTableTest, QuiescingWaitsForWhoIsInsideAndLetsNobodyIn) {
  TransferTable table;
  TransferPtr transfer = table.Begin("t", "id").value();
  Gate::Pass pass = transfer->gate().Enter();
  bool quiet = false;
  table.Quiesce("t", "id", [&] { quiet = true; });
  EXPECT_FALSE(quiet);
  EXPECT_FALSE(transfer->gate().Enter());
  pass = Gate::Pass();
  EXPECT_TRUE(quiet);
}

TEST(TransferTableTest, AnIdIsOnesAloneWhileItIsInUse) {
  TransferTable table;
  TransferPtr transfer = table.Begin("t", "id").value();
  EXPECT_EQ(StatusReason(table.Begin("t", "id").status()), "TRANSFER_ID_IN_USE");
  EXPECT_TRUE(table.Begin("another tenant", "id").ok());
  transfer = nullptr;
  EXPECT_EQ(table.size(), 0);
  EXPECT_TRUE(table.Begin("t", "id").ok());
}

TEST(TransferTableTest, AnIdThatWasQuiescedNeverBegins) {
  TransferTable table;
  bool quiet = false;
  table.Quiesce("t", "id", [&] { quiet = true; });
  EXPECT_TRUE(quiet);
  EXPECT_EQ(StatusReason(table.Begin("t", "id").status()), "TRANSFER_QUIESCED");
  EXPECT_TRUE(table.Begin("another tenant", "id").ok());
}

TEST(TransferTableTest, RemembersTheNewestQuiescedIdsOnly) {
  TransferTable table;
  const auto nothing = [] {};
  table.Quiesce("t", "oldest", nothing);
  for (size_t i = 0; i < TransferTable::kMostQuiesced; ++i) table.Quiesce("t", std::to_string(i), nothing);
  EXPECT_TRUE(table.Begin("t", "oldest").ok());
  EXPECT_FALSE(table.Begin("t", "0").ok());
}

TEST(TransferTableTest, NeedsAnId) {
  TransferTable table;
  EXPECT_EQ(StatusReason(table.Begin("t", "").status()), "TRANSFER_ID_MISSING");
}

}  // namespace
}  // namespace chunkkv
