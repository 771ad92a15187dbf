#include "service/memory/device_storage.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "chunkkv/kernels/status.h"
#include "tests/support/host_device_memory.h"

namespace chunkkv {
namespace {

class DeviceStorageTest : public testing::Test {
 protected:
  DeviceStorageTest() {
    auto memory = std::make_unique<HostDeviceMemory>();
    memory_ = memory.get();
    storage_ = *DeviceStorage::Open(std::move(memory), int64_t{8} << 20);
    for (size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<std::byte>(i * 7);
  }

  HostDeviceMemory* memory_;
  std::unique_ptr<DeviceStorage> storage_;
  std::vector<std::byte> bytes_ = std::vector<std::byte>(100'003);
};

TEST_F(DeviceStorageTest, CarriesBytesThereAndBack) {
  const auto block = storage_->pool().Allocate(static_cast<int64_t>(bytes_.size()));
  ASSERT_TRUE(block.ok());
  ASSERT_TRUE(storage_->CopyToDevice(*block, bytes_).ok());
  std::vector<std::byte> back(bytes_.size());
  ASSERT_TRUE(storage_->CopyToHost(absl::MakeSpan(back), *block).ok());
  EXPECT_EQ(back, bytes_);
}

TEST_F(DeviceStorageTest, RegistersWhereItCan) {
  {
    auto registration = storage_->Register(absl::MakeSpan(bytes_));
    ASSERT_TRUE(registration.ok());
    EXPECT_EQ(memory_->registration_count(), 1);
    const HostRegistration moved = *std::move(registration);
    EXPECT_EQ(memory_->registration_count(), 1);
  }
  EXPECT_EQ(memory_->registration_count(), 0);
  memory_->RunOutOfMemory();
  EXPECT_TRUE(storage_->Register(absl::MakeSpan(bytes_)).ok()) << "copies do without";
  EXPECT_EQ(memory_->registration_count(), 0);
  memory_->Break();
  EXPECT_EQ(StatusReason(storage_->Register(absl::MakeSpan(bytes_)).status()), "CUDA_ERROR");
}

TEST_F(DeviceStorageTest, SaysWhenTheDeviceIsLost) {
  const auto block = storage_->pool().Allocate(static_cast<int64_t>(bytes_.size()));
  memory_->BreakAfter(1);  // the copy is started, and never ends
  EXPECT_EQ(StatusReason(storage_->CopyToDevice(*block, bytes_)), "CUDA_ERROR");
  EXPECT_EQ(StatusReason(storage_->CopyToHost(absl::MakeSpan(bytes_), *block)), "CUDA_ERROR");
}

TEST(DeviceStorageOpenTest, NeedsADeviceThatWorks) {
  for (int call_count = 0; call_count < 2; ++call_count) {
    auto memory = std::make_unique<HostDeviceMemory>();
    memory->BreakAfter(call_count);
    EXPECT_EQ(StatusReason(DeviceStorage::Open(std::move(memory), 1).status()), "CUDA_ERROR");
  }
}

}  // namespace
}  // namespace chunkkv
