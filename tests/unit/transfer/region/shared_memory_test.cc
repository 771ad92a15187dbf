#include "service/transfer/region/shared_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "chunkkv/kernels/status.h"
#include "tests/support/local_client.h"

namespace chunkkv {
namespace {

std::shared_ptr<SharedMemory> MapFile(const SharedFile& file, int64_t size_bytes) {
  auto memory = SharedMemory::Map(FileDescriptor(dup(file.descriptor())), size_bytes);
  EXPECT_TRUE(memory.ok()) << memory.status();
  return memory.ok() ? *memory : nullptr;
}

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

TEST(SharedMemoryTest, ReadsAndWritesRowsOfEveryLayout) {
  for (const int64_t row_count : {int64_t{1}, int64_t{7}, int64_t{16}, int64_t{33}, int64_t{200'000}}) {
    const int64_t size = row_count * 110 + 4096;
    SharedFile file(size);
    const auto memory = MapFile(file, size);
    for (const PeerRows& rows : Layouts(row_count)) {
      ASSERT_TRUE(CheckPeerRows(rows, size).ok());
      std::vector<std::byte> dense(row_count * 72);
      std::mt19937 random(2);
      for (std::byte& byte : dense) byte = static_cast<std::byte>(random());
      ASSERT_TRUE(memory->WriteRows(dense, rows, 0, nullptr).ok());
      for (const int64_t row : {int64_t{0}, row_count / 2, row_count - 1}) {
        for (int32_t head = 0; head < 3; ++head) {
          EXPECT_EQ(std::memcmp(Address(file.bytes().data(), rows, row, head), &dense[row * 72 + head * 24], 24), 0);
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

TEST(SharedMemoryTest, StopsWhereItIsCancelled) {
  const int64_t size = int64_t{64} << 20;
  SharedFile file(size);
  const auto memory = MapFile(file, size);
  std::vector<std::byte> bytes(size, std::byte{1});
  int asked = 0;
  const Cancelled second = [&] { return ++asked > 1; };
  EXPECT_EQ(memory->Write(bytes, 0, second).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(file.bytes().back(), std::byte{0});
  asked = 0;
  EXPECT_EQ(memory->Read(0, absl::MakeSpan(bytes), second).code(), absl::StatusCode::kCancelled);
}

TEST(SharedMemoryTest, SaysThatAReadOnlyDescriptorIs) {
  SharedFile file(4096);
  const int read_only = open(("/proc/self/fd/" + std::to_string(file.descriptor())).c_str(), O_RDONLY | O_CLOEXEC);
  const auto memory = SharedMemory::Map(FileDescriptor(read_only), 4096);
  ASSERT_TRUE(memory.ok());
  EXPECT_FALSE((*memory)->is_writable());
  std::byte byte;
  EXPECT_TRUE((*memory)->Read(4095, {&byte, 1}, nullptr).ok());
}

// Its owner truncates, punches and fills it again while it is read and written: every operation ends OK or REGION_LOST,
// what is around the region is never touched, and no page of it is made here for long.
TEST(SharedMemoryTest, SurvivesAnOwnerThatTakesItAway) {
  const int64_t size = int64_t{2} << 20;
  SharedFile file(size);
  const auto memory = MapFile(file, size);
  std::atomic<bool> stop{false};
  std::thread owner([&] {
    std::mt19937 random(5);
    while (!stop) {
      const auto at = static_cast<int64_t>(random() % size) / 4096 * 4096;
      if (random() % 2 == 0) {
        file.Truncate(at);
        file.Truncate(size);
      } else {
        file.PunchHole(at, std::max<int64_t>(4096, (size - at) / 4096 * 4096));
      }
      EXPECT_EQ(fallocate(file.descriptor(), 0, 0, size), 0);
    }
  });
  std::vector<std::byte> guarded(size + 128, std::byte{0x77});
  const absl::Span<std::byte> bytes = absl::MakeSpan(guarded).subspan(64, size);
  const PeerRows rows = DensePeerRows(0, size / 256, 4, 64, true);
  const RowRun all = {0, rows.row_count};
  int lost = 0;
  for (int round = 0; round < 400; ++round) {
    absl::Status status;
    switch (round % 4) {
      case 0:
        status = memory->Read(0, bytes, nullptr);
        break;
      case 1:
        status = memory->Write(bytes, 0, nullptr);
        break;
      case 2:
        status = memory->ReadRows(rows, {&all, 1}, {bytes.data(), 4, 64, 256, 64}, nullptr);
        break;
      default:
        status = memory->WriteRows(bytes, rows, 0, nullptr);
    }
    if (status.ok()) continue;
    ++lost;
    EXPECT_EQ(StatusReason(status), "REGION_LOST");
  }
  stop = true;
  owner.join();
  EXPECT_GT(lost, 0);
  EXPECT_TRUE(std::all_of(guarded.begin(), guarded.begin() + 64, [](std::byte b) { return b == std::byte{0x77}; }));
  EXPECT_TRUE(std::all_of(guarded.end() - 64, guarded.end(), [](std::byte b) { return b == std::byte{0x77}; }));
}

}  // namespace
}  // namespace chunkkv
