// What every DeviceMemory does with slabs and with memory of the host that it is to pin.
#include "chunkkv/kernels/device_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "tests/unit/kernels/test_memory.h"

namespace chunkkv::testing {
namespace {

constexpr size_t kBytes = 3 * kSlabGranularityBytes;

class DeviceMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    memory_ = MakeTestMemory();
    stream_ = memory_->CreateStream().value();
    for (size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<uint8_t>(i * 13 + i / 251);
  }
  void TearDown() override { memory_->DestroyStream(stream_); }

  void Copy(void* to, const void* from, size_t bytes) {
    ASSERT_TRUE(memory_->CopyAsync(to, from, bytes, stream_).ok());
    ASSERT_TRUE(memory_->Synchronize(stream_).ok());
  }

  std::unique_ptr<DeviceMemory> memory_;
  void* stream_ = nullptr;
  std::vector<uint8_t> bytes_ = std::vector<uint8_t>(kBytes);
};

TEST_F(DeviceMemoryTest, SlabsHoldBytesAndAreAligned) {
  void* const first = memory_->AllocateSlab(kBytes).value();
  void* const second = memory_->AllocateSlab(kSlabGranularityBytes).value();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(first) % 512, 0u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(second) % 512, 0u);
  Copy(first, bytes_.data(), kBytes);
  Copy(second, bytes_.data() + 1, kSlabGranularityBytes);
  std::vector<uint8_t> back(kBytes);
  Copy(back.data(), first, kBytes);
  EXPECT_EQ(back, bytes_);
  memory_->FreeSlab(first);
  back.assign(kSlabGranularityBytes, 0);
  Copy(back.data(), second, back.size());
  EXPECT_EQ(std::memcmp(back.data(), bytes_.data() + 1, back.size()), 0);
  memory_->FreeSlab(second);
}

TEST_F(DeviceMemoryTest, EveryDescriptorOfASlabIsOneOfItsOwn) {
  void* const slab = memory_->AllocateSlab(kBytes).value();
  const int first = memory_->ExportDescriptor(slab).value(), second = memory_->ExportDescriptor(slab).value();
  EXPECT_NE(first, second);
  EXPECT_EQ(close(first), 0);
  EXPECT_EQ(close(second), 0);
  memory_->FreeSlab(slab);
}

TEST_F(DeviceMemoryTest, RegisteredMemoryStaysTheCallers) {
  void* const mapped = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  void* const slab = memory_->AllocateSlab(kBytes).value();
  Copy(slab, bytes_.data(), kBytes);
  ASSERT_TRUE(memory_->RegisterHost(mapped, kBytes).ok());
  Copy(mapped, slab, kBytes);
  memory_->UnregisterHost(mapped);
  EXPECT_EQ(std::memcmp(mapped, bytes_.data(), kBytes), 0);
  ASSERT_TRUE(memory_->RegisterHost(mapped, kBytes).ok()) << "again";
  memory_->UnregisterHost(mapped);
  memory_->FreeSlab(slab);
  munmap(mapped, kBytes);
}

}  // namespace
}  // namespace chunkkv::testing
