#include "service/transfer/region/guarded.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/support/local_client.h"

namespace chunkkv {
namespace {

constexpr int64_t kPage = 4096;

TEST(GuardedTest, RunsTheWorkToItsEnd) {
  SharedFile file(kPage);
  int done = 0;
  EXPECT_TRUE(RunGuarded(file.bytes(), [&] {
    file.bytes()[0] = std::byte{7};
    done = 1;
  }));
  EXPECT_EQ(done, 1);
  EXPECT_EQ(file.bytes()[0], std::byte{7});
}

TEST(GuardedTest, LeavesTheWorkWhereAPageIsNotThereAndGoesOn) {
  SharedFile file(4 * kPage);
  std::vector<std::byte> copy(4 * kPage);
  for (int round = 0; round < 3; ++round) {
    file.Truncate(kPage);
    EXPECT_FALSE(RunGuarded(file.bytes(), [&] { std::memcpy(copy.data(), file.bytes().data(), copy.size()); }));
    EXPECT_FALSE(RunGuarded(file.bytes(), [&] { std::memset(file.bytes().data(), 1, 4 * kPage); }));
    file.Truncate(4 * kPage);
    EXPECT_TRUE(RunGuarded(file.bytes(), [&] { std::memcpy(copy.data(), file.bytes().data(), copy.size()); }));
  }
}

TEST(GuardedTest, GuardsEachThreadByItself) {
  SharedFile file(4 * kPage);
  file.Truncate(kPage);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&file, i] {
      for (int round = 0; round < 100; ++round) {
        EXPECT_FALSE(RunGuarded(file.bytes(), [&] { file.bytes()[2 * kPage + i] = std::byte{1}; }));
        EXPECT_TRUE(RunGuarded(file.bytes(), [&] { file.bytes()[i] = std::byte{1}; }));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(GuardedDeathTest, FaultsElsewhereEndTheProcess) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  SharedFile file(kPage);
  SharedFile other(4 * kPage);
  other.Truncate(kPage);
  EXPECT_DEATH(RunGuarded(file.bytes(), [&] { other.bytes()[2 * kPage] = std::byte{1}; }), "");
}

}  // namespace
}  // namespace chunkkv
