#include "service/transfer/region/shared_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
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
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  for (int round = 0; round < 400 || (lost == 0 && std::chrono::steady_clock::now() < end); ++round) {
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
