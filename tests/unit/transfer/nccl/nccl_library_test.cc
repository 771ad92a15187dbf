#include "service/transfer/nccl/nccl_library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "chunkkv/kernels/status.h"

namespace chunkkv {
namespace {

using ::testing::HasSubstr;

TEST(NcclLibraryTest, AMissingLibraryIsNamed) {
  const auto loaded = LoadNccl("/nowhere/libnccl.so.2");
  ASSERT_FALSE(loaded.ok());
  if (CHUNKKV_HAS_NCCL == 0) {
    EXPECT_EQ(StatusReason(loaded.status()), "NCCL_NOT_BUILT");
    GTEST_SKIP() << "built without nccl.h";
  }
  EXPECT_EQ(loaded.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(StatusReason(loaded.status()), "NCCL_NOT_FOUND");
  EXPECT_THAT(std::string(loaded.status().message()), HasSubstr("/nowhere/libnccl.so.2"));
}

TEST(NcclLibraryTest, ALibraryThatIsNotNcclIsRefused) {
  if (CHUNKKV_HAS_NCCL == 0) GTEST_SKIP() << "built without nccl.h";
  const auto loaded = LoadNccl("libc.so.6");
  EXPECT_EQ(StatusReason(loaded.status()), "NCCL_NOT_FOUND");
  EXPECT_THAT(std::string(loaded.status().message()), HasSubstr("ncclGetVersion"));
}

}  // namespace
}  // namespace chunkkv
