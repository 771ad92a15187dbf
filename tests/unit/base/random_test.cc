#include "service/base/random.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <set>

namespace chunkkv {
namespace {

TEST(RandomTest, GivesOtherBytesEachTime) {
  std::set<std::array<uint8_t, 16>> seen;
  for (int i = 0; i < 1000; ++i) {
    std::array<uint8_t, 16> bytes{};
    FillRandom(bytes.data(), bytes.size());
    EXPECT_TRUE(seen.insert(bytes).second);
  }
}

TEST(RandomTest, FillsNothingBeyondTheSize) {
  std::array<uint8_t, 48> bytes{};
  FillRandom(bytes.data(), 33);
  for (size_t i = 33; i < bytes.size(); ++i) EXPECT_EQ(bytes[i], 0);
}

}  // namespace
}  // namespace chunkkv
