// What the emulation refuses to run: each would hang, or be undefined, on a GPU.
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/simt/emulation/grid.h"
#include "kernels/simt/simt.h"

namespace chunkkv::testing {
namespace {

void RunBlock(const std::function<void()>& kernel) {
  simt::emulation::RunGrid({.block_count = 1, .block_size = 64, .shared_bytes = 1024}, 1, kernel);
}

// Not inside of EXPECT_DEATH, which puts all of its statement on one line.
void WaitAtTwoBarriers() {
  if (simt::ThreadIndex() < 32) {
    simt::SyncBlock();
  } else {
    simt::SyncBlock();
  }
}

void VoteAtTwoPlaces() {
  if (simt::Lane() < 16) {
    simt::Ballot(true);
  } else {
    simt::Ballot(false);
  }
}

TEST(EmulationFaultsDeathTest, ADivergentBarrier) {
  EXPECT_DEATH(RunBlock(WaitAtTwoBarriers), "is at another barrier than its block .*emulation_faults_test");
}

TEST(EmulationFaultsDeathTest, ABarrierThatSomeThreadsSkip) {
  EXPECT_DEATH(RunBlock([] {
                 if (simt::ThreadIndex() != 17) simt::SyncBlock();
               }),
               "waits for threads that never come");
}

TEST(EmulationFaultsDeathTest, AThreadThatEndsWhileItsWarpExchanges) {
  EXPECT_DEATH(RunBlock([] {
                 if (simt::Lane() == 3) return;
                 simt::ShuffleXor(1, 1);
               }),
               "waits for threads that never come");
}

TEST(EmulationFaultsDeathTest, LanesAtDifferentPlaces) {
  EXPECT_DEATH(RunBlock(VoteAtTwoPlaces), "is at another place than its warp .*emulation_faults_test");
}

TEST(EmulationFaultsDeathTest, AWarpThatExchangesWhileItsBlockWaits) {
  EXPECT_DEATH(RunBlock([] {
                 if (simt::Lane() == 0) simt::SyncBlock();
                 simt::SyncWarp();
               }),
               "waits for threads that never come");
}

TEST(EmulationFaultsDeathTest, MisalignedAccesses) {
  std::vector<uint64_t> words(4);
  auto* bytes = reinterpret_cast<std::byte*>(words.data());
  EXPECT_DEATH(RunBlock([&] { simt::Load(reinterpret_cast<uint32_t*>(bytes + 2)); }), "memory that is not aligned");
  EXPECT_DEATH(RunBlock([&] { simt::Stream(reinterpret_cast<uint16_t*>(bytes + 1)); }), "memory that is not aligned");
  EXPECT_DEATH(RunBlock([&] { simt::Store(reinterpret_cast<uint64_t*>(bytes + 4), uint64_t{1}); }),
               "memory that is not aligned");
}

TEST(EmulationFaultsDeathTest, MisalignedCopies) {
  alignas(16) static std::byte from[64];
  EXPECT_DEATH(RunBlock([] {
                 simt::CopyAsync(simt::SharedMemory() + 8, from, true);
                 simt::WaitForCopies<0>();
               }),
               "copies to memory not aligned");
  EXPECT_DEATH(RunBlock([] {
                 simt::CopyAsync(simt::SharedMemory(), from + 8, true);
                 simt::WaitForCopies<0>();
               }),
               "memory that is not aligned");
}

TEST(EmulationFaultsDeathTest, CopiesNeverWaitedFor) {
  alignas(16) static std::byte from[16];
  EXPECT_DEATH(RunBlock([] { simt::CopyAsync(simt::SharedMemory() + simt::ThreadIndex() * 16, from, true); }),
               "copies not waited for");
  EXPECT_DEATH(RunBlock([] {
                 simt::CopyAsync(simt::SharedMemory() + simt::ThreadIndex() * 16, from, true);
                 simt::CommitCopies();
               }),
               "copies not waited for");
}

#ifdef __SANITIZE_ADDRESS__
TEST(EmulationFaultsDeathTest, SharedMemoryPastItsEnd) {
  EXPECT_DEATH(RunBlock([] { simt::SharedMemory()[1024 + simt::ThreadIndex()] = std::byte{1}; }),
               "heap-buffer-overflow");
}

TEST(EmulationFaultsDeathTest, GlobalMemoryPastItsEnd) {
  std::vector<uint32_t> words(7);
  EXPECT_DEATH(RunBlock([&] { words[0] = simt::Load(words.data() + 7); }), "heap-buffer-overflow");
}
#endif

}  // namespace
}  // namespace chunkkv::testing
