#include "chunkkv/kernels/compaction_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "chunkkv/kernels/status.h"

namespace chunkkv {
namespace {

TEST(CompactionDeviceTest, TheCpuIsAlwaysThere) {
  const absl::StatusOr<CompactionDevice> device = OpenCompactionDevice("cpu");
  ASSERT_TRUE(device.ok()) << device.status();
  EXPECT_EQ(device->kind, "cpu");
  EXPECT_EQ(device->compactor->Name(), "cpu");
}

TEST(CompactionDeviceTest, OnlyAGpuHasMemoryOfItsOwn) {
  const absl::StatusOr<CompactionDevice> device = OpenCompactionDevice("cpu");
  EXPECT_EQ(StatusReason(OpenDeviceMemory(*device).status()), "NO_DEVICE_MEMORY");
}

TEST(CompactionDeviceTest, AutoTakesWhatTheMachineHas) {
  const absl::StatusOr<CompactionDevice> device = OpenCompactionDevice("auto");
  ASSERT_TRUE(device.ok()) << device.status();
  EXPECT_EQ(device->kind, OpenCompactionDevice("cuda").ok() ? "cuda" : "cpu");
}

TEST(CompactionDeviceTest, AGpuThatIsNotThereIsNamed) {
  const absl::StatusOr<CompactionDevice> device = OpenCompactionDevice("cuda:4095");
  ASSERT_FALSE(device.ok());
  EXPECT_THAT(StatusReason(device.status()), ::testing::AnyOf("NO_CUDA", "NO_CUDA_DEVICE"));
  EXPECT_THAT(std::string(device.status().message()), ::testing::HasSubstr("4095"));
}

TEST(CompactionDeviceTest, RefusesOtherNames) {
  for (const char* choice : {"", "gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:1x", "cuda0", "CPU", "cuda:99999999999"}) {
    EXPECT_EQ(StatusReason(OpenCompactionDevice(choice).status()), "BAD_DEVICE") << choice;
  }
}

}  // namespace
}  // namespace chunkkv
