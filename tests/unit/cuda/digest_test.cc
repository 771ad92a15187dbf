// The digest kernel on the caller's memory: sectors it touches, orders of threads, memory out of reach.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "chunkkv/kernels/status.h"
#include "tests/unit/cuda/aligned_bytes.h"
#include "tests/unit/cuda/emulated_device.h"
#include "tests/unit/kernels/block_digests.h"

namespace chunkkv::testing {
namespace {

constexpr auto kBlockBytes = static_cast<int64_t>(kDigestBlockBytes);
constexpr int64_t kSectorBytes = 32;
constexpr int64_t kLoadBytes = 512;  // 16 a lane

absl::Status RunDigest(EmulatedDevice& device, const DigestTask& task) {
  Batch batch;
  batch.digest = absl::MakeConstSpan(&task, 1);
  return device.Run(Plan(), batch);
}

TEST(CudaDigestTest, ReadsEachSectorOnce) {
  constexpr int64_t kBlocks = 13;
  const AlignedBytes tensor(kBlocks * kBlockBytes);
  std::fill_n(tensor.As(), kBlocks * kBlockBytes, std::byte{7});
  std::vector<uint64_t> digests(kBlocks);
  EmulatedDevice device(1, true);
  ASSERT_TRUE(RunDigest(device, {tensor.As(), kBlocks * kBlockBytes, {}, digests.data()}).ok());
  const auto loads = device.TrafficOf("Digest").Loads();
  EXPECT_EQ(loads.requested, kBlocks * kBlockBytes / kSectorBytes);
  EXPECT_EQ(loads.distinct, kBlocks * kBlockBytes / kSectorBytes);
  EXPECT_EQ(loads.requests, kBlocks * kBlockBytes / kLoadBytes);
}

TEST(CudaDigestTest, AnOddSizeSlowsItsLastBlockAlone) {
  constexpr int64_t kBlocks = 5;
  const AlignedBytes tensor(kBlocks * kBlockBytes + 3);
  std::fill_n(tensor.As(), kBlocks * kBlockBytes + 3, std::byte{7});
  std::vector<uint64_t> digests(kBlocks + 1);
  EmulatedDevice device(1, true);
  ASSERT_TRUE(RunDigest(device, {tensor.As(), kBlocks * kBlockBytes + 3, {}, digests.data()}).ok());
  constexpr int64_t kByteLoads = 8;  // that bring a lane its part of a message of 3 bytes
  EXPECT_LE(device.TrafficOf("Digest").Loads().requests, kBlocks * kBlockBytes / kLoadBytes + kByteLoads);
}

TEST(CudaDigestTest, DoesNotDependOnTheOrderOfThreads) {
  std::mt19937 random(7);
  const std::vector<std::byte> tensor = RandomBytes(2 * kDigestBlockBytes + 777, random);
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    std::vector<uint64_t> digests(3);
    EmulatedDevice device(seed);
    ASSERT_TRUE(RunDigest(device, {tensor.data(), static_cast<int64_t>(tensor.size()), {}, digests.data()}).ok());
    ASSERT_EQ(digests, BlockDigests(tensor)) << "seed " << seed;
  }
}

TEST(CudaDigestTest, RefusesMemoryOutOfReach) {
  const std::vector<std::byte> tensor(100);
  uint64_t digest = 17;
  EmulatedDevice device;
  const absl::Status status = RunDigest(device, {tensor.data(), 100, {MemoryKind::kDevice, 7}, &digest});
  EXPECT_EQ(StatusReason(status), "DEVICE_MEMORY");
  EXPECT_EQ(digest, 17u);
}

TEST(CudaDigestTest, OneLaunchForAllTensorsOfOneAlignment) {
  const AlignedBytes memory(9 * kBlockBytes);
  std::fill_n(memory.As(), 9 * kBlockBytes, std::byte{7});
  std::vector<uint64_t> digests(9);
  std::vector<DigestTask> tasks;
  for (int64_t i = 0; i < 4; ++i) {
    tasks.push_back({memory.As() + 2 * i * kBlockBytes, kBlockBytes + 16 * i, {}, digests.data() + 2 * i});
  }
  Batch batch;
  batch.digest = tasks;
  EmulatedDevice device;
  ASSERT_TRUE(device.Run(Plan(), batch).ok());
  EXPECT_EQ(device.launches().size(), 1u);
}

}  // namespace
}  // namespace chunkkv::testing
