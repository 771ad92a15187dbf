// What every kind of a client's memory does for transfers.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <ostream>
#include <random>
#include <vector>

#include "chunkkv/kernels/compactor.h"
#include "service/base/check.h"
#include "service/transfer/region/device_region.h"
#include "service/transfer/region/shared_memory.h"
#include "tests/support/host_device_memory.h"
#include "tests/support/local_client.h"

namespace chunkkv {
namespace {

class PeerMemoryKind {
 public:
  virtual ~PeerMemoryKind() = default;
  virtual const PeerMemory& memory() const = 0;
  // The owner's side.
  virtual std::byte* bytes() = 0;
};

class SharedKind final : public PeerMemoryKind {
 public:
  explicit SharedKind(int64_t size_bytes) : file_(size_bytes) {
    auto memory = SharedMemory::Map(FileDescriptor(dup(file_.descriptor())), size_bytes);
    CHUNKKV_CHECK(memory.ok());
    memory_ = *std::move(memory);
  }
  const PeerMemory& memory() const override { return *memory_; }
  std::byte* bytes() override { return file_.bytes().data(); }

 private:
  SharedFile file_;
  std::shared_ptr<SharedMemory> memory_;
};

// The host stands for a device, the vectorised compactor for its kernels.
class DeviceKind final : public PeerMemoryKind {
 public:
  explicit DeviceKind(int64_t size_bytes)
      : compactor_(MakeCpuCompactor()),
        lane_(DeviceLane::Create(*compactor_, device_).value()),
        bytes_(size_bytes),
        region_({bytes_.data(), [](std::byte*) {}}, size_bytes, *lane_) {}
  const PeerMemory& memory() const override { return region_; }
  std::byte* bytes() override { return bytes_.data(); }

 private:
  HostDeviceMemory device_;
  const std::unique_ptr<Compactor> compactor_;
  const std::unique_ptr<DeviceLane> lane_;
  std::vector<std::byte> bytes_;
  DeviceRegion region_;
};

struct NamedKind {
  const char* name;
  std::unique_ptr<PeerMemoryKind> (*make)(int64_t size_bytes);
};
std::ostream& operator<<(std::ostream& out, const NamedKind& kind) { return out << kind.name; }

const NamedKind kKinds[] = {
    {"SharedMemory",
     [](int64_t size_bytes) -> std::unique_ptr<PeerMemoryKind> { return std::make_unique<SharedKind>(size_bytes); }},
    {"DeviceMemory",
     [](int64_t size_bytes) -> std::unique_ptr<PeerMemoryKind> { return std::make_unique<DeviceKind>(size_bytes); }},
};

class PeerMemoryContract : public testing::TestWithParam<NamedKind> {};

std::byte* Address(std::byte* memory, const PeerRows& rows, int64_t row, int32_t head) {
  memory += rows.offset_bytes + head * rows.head_stride_bytes;
  if (!rows.IsPaged()) return memory + row * rows.token_stride_bytes;
  const int64_t slot = rows.first_slot + row;
  return memory + rows.block_ids[slot / rows.block_tokens] * rows.block_stride_bytes +
         slot % rows.block_tokens * rows.token_stride_bytes;
}

// Dense both ways, strided, paged by tokens and by heads; the last ones reach over several guarded slices.
std::vector<PeerRows> Layouts(int64_t row_count) {
  std::vector<PeerRows> layouts = {DensePeerRows(3, row_count, 3, 24, false), DensePeerRows(3, row_count, 3, 24, true)};
  PeerRows strided = DensePeerRows(5, row_count, 3, 24, false);
  strided.token_stride_bytes = 100;
  strided.head_stride_bytes = 30;
  layouts.push_back(strided);
  PeerRows paged = DensePeerRows(1, row_count, 3, 24, false);
  paged.block_tokens = 4;
  paged.first_slot = 3;
  paged.block_stride_bytes = 4 * 72 + 7;
  paged.block_ids.resize((row_count + 3 + 3) / 4);
  std::iota(paged.block_ids.begin(), paged.block_ids.end(), 0);
  std::shuffle(paged.block_ids.begin(), paged.block_ids.end(), std::mt19937(1));
  layouts.push_back(paged);
  paged.token_stride_bytes = 24;
  paged.head_stride_bytes = 4 * 24;
  layouts.push_back(paged);
  return layouts;
}

TEST_P(PeerMemoryContract, ReadsAndWritesRowsOfEveryLayout) {
  for (const int64_t row_count : {int64_t{1}, int64_t{7}, int64_t{16}, int64_t{33}, int64_t{200'000}}) {
    const int64_t size = row_count * 110 + 4096;
    const std::unique_ptr<PeerMemoryKind> kind = GetParam().make(size);
    const PeerMemory* const memory = &kind->memory();
    EXPECT_EQ(memory->size_bytes(), size);
    for (const PeerRows& rows : Layouts(row_count)) {
      ASSERT_TRUE(CheckPeerRows(rows, size).ok());
      std::vector<std::byte> dense(row_count * 72);
      std::mt19937 random(2);
      for (std::byte& byte : dense) byte = static_cast<std::byte>(random());
      ASSERT_TRUE(memory->WriteRows(dense, rows, 0, nullptr).ok());
      for (const int64_t row : {int64_t{0}, row_count / 2, row_count - 1}) {
        for (int32_t head = 0; head < 3; ++head) {
          EXPECT_EQ(std::memcmp(Address(kind->bytes(), rows, row, head), &dense[row * 72 + head * 24], 24), 0);
        }
      }
      // Back, all of it token-major; then a few rows head-major.
      std::vector<std::byte> back(dense.size());
      const RowRun all = {0, row_count};
      ASSERT_TRUE(memory->ReadRows(rows, {&all, 1}, {back.data(), 3, 24, 72, 24}, nullptr).ok());
      EXPECT_TRUE(back == dense);
      if (row_count < 7) continue;
      const int64_t third = row_count / 3;
      const std::vector<RowRun> runs = {{0, 1}, {third, third}, {row_count - 1, 1}};
      const int64_t read = 2 + third;
      ASSERT_TRUE(memory->ReadRows(rows, runs, {back.data(), 3, 24, 24, read * 24}, nullptr).ok());
      EXPECT_EQ(std::memcmp(&back[(read + 1) * 24], &dense[third * 72 + 24], 24), 0);
      EXPECT_EQ(std::memcmp(&back[(3 * read - 1) * 24], &dense[row_count * 72 - 24], 24), 0);
    }
  }
}

TEST_P(PeerMemoryContract, ReadsAndWritesBytesAtAnyOffset) {
  const int64_t size = (int64_t{40} << 20) + 5;
  const std::unique_ptr<PeerMemoryKind> kind = GetParam().make(size);
  std::vector<std::byte> bytes(size - 3);
  std::mt19937 random(7);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  ASSERT_TRUE(kind->memory().Write(bytes, 3, nullptr).ok());
  EXPECT_EQ(std::memcmp(kind->bytes() + 3, bytes.data(), bytes.size()), 0);
  std::vector<std::byte> back(bytes.size() - 1);
  ASSERT_TRUE(kind->memory().Read(4, absl::MakeSpan(back), nullptr).ok());
  EXPECT_EQ(std::memcmp(bytes.data() + 1, back.data(), back.size()), 0);
}

TEST_P(PeerMemoryContract, StopsWhereItIsCancelled) {
  const int64_t size = int64_t{64} << 20;
  const std::unique_ptr<PeerMemoryKind> kind = GetParam().make(size);
  std::vector<std::byte> bytes(size, std::byte{1});
  int asked = 0;
  const Cancelled second = [&] { return ++asked > 1; };
  EXPECT_EQ(kind->memory().Write(bytes, 0, second).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(kind->bytes()[size - 1], std::byte{0});
  asked = 0;
  EXPECT_EQ(kind->memory().Read(0, absl::MakeSpan(bytes), second).code(), absl::StatusCode::kCancelled);
  asked = 0;
  const PeerRows rows = DensePeerRows(0, size / 1024, 4, 256, true);
  const RowRun all = {0, rows.row_count};
  EXPECT_EQ(kind->memory().ReadRows(rows, {&all, 1}, {bytes.data(), 4, 256, 1024, 256}, second).code(),
            absl::StatusCode::kCancelled);
  asked = 0;
  EXPECT_EQ(kind->memory().WriteRows(bytes, rows, 0, second).code(), absl::StatusCode::kCancelled);
}

INSTANTIATE_TEST_SUITE_P(Kinds, PeerMemoryContract, testing::ValuesIn(kKinds),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(DeviceRegionTest, ADeviceThatFailsEndsTheTransfer) {
  HostDeviceMemory device;
  const std::unique_ptr<Compactor> compactor = MakeCpuCompactor();
  const auto lane = DeviceLane::Create(*compactor, device).value();
  std::vector<std::byte> bytes(4096);
  const DeviceRegion region({bytes.data(), [](std::byte*) {}}, 4096, *lane);
  device.Break();
  std::vector<std::byte> to(4096);
  const PeerRows rows = DensePeerRows(0, 16, 4, 64, false);
  const RowRun all = {0, 16};
  EXPECT_EQ(region.Read(0, absl::MakeSpan(to), nullptr).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(region.Write(to, 0, nullptr).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(region.ReadRows(rows, {&all, 1}, {to.data(), 4, 64, 256, 64}, nullptr).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(region.WriteRows(to, rows, 0, nullptr).code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace chunkkv
