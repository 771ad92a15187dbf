#include "service/security/bearer_token.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <map>
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
  // The shortest of many runs, in turn: what else the machine does only adds to it, and lasts longer than a turn.
  std::map<size_t, int64_t> shortest;
  for (const size_t size : {size_t{0}, size_t{1}, size_t{64}, size_t{256}, kMaxTokenBytes, size_t{513}, size_t{4096}}) {
    shortest[size] = std::numeric_limits<int64_t>::max();
  }
  for (int turn = 0; turn < 2000; ++turn) {
    for (auto& [size, nanoseconds] : shortest) {
      const std::string token(size, 'x');
      const auto begun = std::chrono::steady_clock::now();
      HashOfPresented(token);
      nanoseconds = std::min<int64_t>(nanoseconds, (std::chrono::steady_clock::now() - begun).count());
    }
  }
  // A hash that took as long as its token would differ by a factor of 4.
  for (const auto& [size, nanoseconds] : shortest) {
    const double ratio = static_cast<double>(nanoseconds) / static_cast<double>(shortest[kMaxTokenBytes]);
    EXPECT_GT(ratio, 0.5) << size;
    EXPECT_LT(ratio, 2) << size;
  }
}

TEST(BearerTokenTest, ALongerTokenIsNotTakenForItsBeginning) {
  const std::string longest(kMaxTokenBytes, 'x');
  EXPECT_NE(HashOfPresented(longest + "x"), Sha256Of(longest));
  EXPECT_NE(HashOfPresented(longest + "x"), Sha256Of(longest + "x")) << "nobody can have named it";
}

}  // namespace
}  // namespace chunkkv
