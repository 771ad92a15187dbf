#include "service/security/bearer_token.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <string>

#include "service/format/sha256.h"

namespace chunkkv {
namespace {

TEST(BearerTokenTest, IsReadFromTheHeaderWhateverTheSchemesCase) {
  EXPECT_EQ(TokenOfHeader("Bearer abc"), "abc");
  EXPECT_EQ(TokenOfHeader("bEARER a b"), "a b");
}

TEST(BearerTokenTest, OtherHeadersHoldNone) {
  for (const char* header : {"", "Bearer", "Bearer ", "Basic abc", "Bearerabc", "abc"}) {
    EXPECT_EQ(TokenOfHeader(header), std::nullopt) << header;
  }
}

TEST(BearerTokenTest, PresentedTokensHashAsTheFileDoes) {
  for (const size_t size : {0, 1, 55, 64, 511, 512}) {
    const std::string token(size, 'x');
    EXPECT_EQ(HashOfPresented(token), Sha256Of(token)) << size;
  }
}

TEST(BearerTokenTest, EveryLengthTakesTheSameTime) {
  // The shortest of many runs: what else the machine does only adds to it.
  const auto nanoseconds = [](size_t size) {
    const std::string token(size, 'x');
    int64_t shortest = std::numeric_limits<int64_t>::max();
    for (int run = 0; run < 2000; ++run) {
      const auto begun = std::chrono::steady_clock::now();
      HashOfPresented(token);
      shortest = std::min<int64_t>(shortest, (std::chrono::steady_clock::now() - begun).count());
    }
    return shortest;
  };
  const int64_t of_the_longest = nanoseconds(kMaxTokenBytes);
  for (const size_t size : {0, 1, 64, 256, 513, 4096}) {
    EXPECT_NEAR(static_cast<double>(nanoseconds(size)) / static_cast<double>(of_the_longest), 1, 0.4) << size;
  }
}

TEST(BearerTokenTest, ALongerTokenIsNotTakenForItsBeginning) {
  const std::string longest(kMaxTokenBytes, 'x');
  EXPECT_NE(HashOfPresented(longest + "x"), Sha256Of(longest));
  EXPECT_NE(HashOfPresented(longest + "x"), Sha256Of(longest + "x")) << "nobody can have named it";
}

}  // namespace
}  // namespace chunkkv
