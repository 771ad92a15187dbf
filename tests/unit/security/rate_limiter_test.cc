#include "service/security/rate_limiter.h"

#include <gtest/gtest.h>

#include "chunkkv/kernels/status.h"
#include "tests/support/fake_clock.h"

namespace chunkkv {
namespace {

class RateLimiterTest : public testing::Test {
 protected:
  int Admitted(const std::string& tenant, int64_t per_second, int tries) {
    int count = 0;
    for (int i = 0; i < tries; ++i) count += limiter_.Admit(tenant, per_second).ok() ? 1 : 0;
    return count;
  }

  FakeClock clock_;
  RateLimiter limiter_{clock_};
};

TEST_F(RateLimiterTest, TakesASecondsWorthAtOnceAndThenTheRate) {
  EXPECT_EQ(Admitted("a", 10, 25), 10);
  clock_.AdvanceMs(300);
  EXPECT_EQ(Admitted("a", 10, 25), 3);
  clock_.AdvanceMs(60'000);
  EXPECT_EQ(Admitted("a", 10, 25), 10) << "what was not used does not pile up";
}

TEST_F(RateLimiterTest, TenantsDoNotTouchEachOther) {
  EXPECT_EQ(Admitted("a", 5, 100), 5);
  EXPECT_EQ(Admitted("b", 5, 5), 5);
}

TEST_F(RateLimiterTest, NamesTheLimit) {
  const absl::Status status = limiter_.Admit("a", 0);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(StatusReason(status), "RATE_LIMITED");
}

TEST_F(RateLimiterTest, FollowsARateThatChanges) {
  EXPECT_EQ(Admitted("a", 100, 100), 100);
  clock_.AdvanceMs(1000);
  EXPECT_EQ(Admitted("a", 2, 10), 2);
}

}  // namespace
}  // namespace chunkkv
