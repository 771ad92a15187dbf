#include "client/cpp/call_time.h"

#include <gtest/gtest.h>

namespace chunkkv::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(CallTimeTest, IsOfTheWholeCall) {
  std::chrono::steady_clock::time_point now{std::chrono::hours(1)};
  CallOptions options;
  options.timeout = seconds(10);
  const CallTime time(options, [&now] { return now; });
  EXPECT_EQ(time.options().timeout, seconds(10));
  now += seconds(7);
  EXPECT_EQ(time.elapsed(), seconds(7));
  EXPECT_EQ(time.options().timeout, seconds(3));
  EXPECT_FALSE(time.is_over());
  now += seconds(3);
  EXPECT_TRUE(time.is_over());
  now += seconds(3);
  EXPECT_EQ(time.options().timeout, milliseconds(1)) << "0 would be no end";
}

TEST(CallTimeTest, WithoutATimeoutHasNoEnd) {
  std::chrono::steady_clock::time_point now{std::chrono::hours(1)};
  const CallTime time({}, [&now] { return now; });
  now += std::chrono::hours(1000);
  EXPECT_EQ(time.left(), std::nullopt);
  EXPECT_FALSE(time.is_over());
  EXPECT_EQ(time.options().timeout, milliseconds(0));
}

}  // namespace
}  // namespace chunkkv::client
