#include "client/cpp/followed_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/client/test_resolver.h"

namespace chunkkv::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr FollowedName::Time kForever = FollowedName::Time::max();

FollowedName::Time Soon() { return std::chrono::steady_clock::now() + milliseconds(20); }

class FollowedNameTest : public testing::Test {
 protected:
  // Once the name was asked `count` times, and the answer is there.
  std::vector<std::string> AddressesAfter(FollowedName& name, int count) {
    name.Refresh();
    resolver_.AwaitResolutions(count);
    name.AwaitNext(kForever, std::nullopt);
    return *name.addresses();
  }

  TestResolver resolver_;
};

TEST_F(FollowedNameTest, IsAskedAgainWhenOld) {
  resolver_.Set(std::vector<std::string>{"a:1"});
  FollowedName name("name:1", resolver_.Options());
  name.AwaitFirst(kForever, std::nullopt);
  EXPECT_THAT(*name.addresses(), ElementsAre("a:1"));
  resolver_.Set(std::vector<std::string>{"a:1", "b:1"});
  resolver_.Advance(milliseconds(4999));
  name.Refresh();
  name.AwaitNext(kForever, std::nullopt);
  EXPECT_THAT(*name.addresses(), ElementsAre("a:1"));
  resolver_.Advance(milliseconds(1));
  EXPECT_THAT(AddressesAfter(name, 2), ElementsAre("a:1", "b:1"));
}

TEST_F(FollowedNameTest, IsAskedAgainAfterADoubtOnceInASecond) {
  FollowedName name("name:1", resolver_.Options());
  name.AwaitFirst(kForever, std::nullopt);
  resolver_.Set(std::vector<std::string>{"b:1"});
  name.Doubt();
  resolver_.Advance(milliseconds(999));
  name.AwaitNext(kForever, std::nullopt);
  EXPECT_EQ(resolver_.resolutions(), 1);
  resolver_.Advance(milliseconds(1));
  EXPECT_THAT(AddressesAfter(name, 2), ElementsAre("b:1"));
}

TEST_F(FollowedNameTest, AFailureLeavesWhatWasKnown) {
  resolver_.Set(absl::UnavailableError("no such name"));
  FollowedName name("name:1", resolver_.Options());
  EXPECT_NE(name.failure(), "");
  name.AwaitFirst(kForever, std::nullopt);
  EXPECT_EQ(name.failure(), "name:1: no such name");
  EXPECT_THAT(*name.addresses(), IsEmpty());
  resolver_.Set(std::vector<std::string>{"a:1"});
  resolver_.Advance(seconds(1));
  EXPECT_THAT(AddressesAfter(name, 2), ElementsAre("a:1"));
  EXPECT_EQ(name.failure(), "");
  for (const auto& nothing : {absl::StatusOr<std::vector<std::string>>(absl::UnavailableError("no such name")),
                              absl::StatusOr<std::vector<std::string>>(std::vector<std::string>())}) {
    const int before = resolver_.resolutions();
    resolver_.Set(nothing);
    resolver_.Advance(seconds(5));
    EXPECT_THAT(AddressesAfter(name, before + 1), ElementsAre("a:1"));
  }
}

TEST_F(FollowedNameTest, NobodyWaitsForAResolverThatHangsButForSoLong) {
  resolver_.Set(std::vector<std::string>{"a:1"});
  FollowedName name("name:1", resolver_.Options());
  name.AwaitFirst(kForever, std::nullopt);
  resolver_.Hang(true);
  resolver_.Advance(seconds(5));
  name.Refresh();
  resolver_.AwaitHanging();
  name.AwaitFirst(kForever, std::nullopt);
  EXPECT_THAT(*name.addresses(), ElementsAre("a:1"));
  name.AwaitNext(Soon(), std::nullopt);
  EXPECT_TRUE(resolver_.IsInside());
  resolver_.Hang(false);
}

TEST_F(FollowedNameTest, WaitingEndsInTimeAndOnCancellation) {
  resolver_.Hang(true);
  FollowedName name("name:1", resolver_.Options());
  name.AwaitFirst(Soon(), std::nullopt);
  Cancellation cancellation;
  std::thread waiting([&] { name.AwaitFirst(kForever, cancellation); });
  cancellation.Cancel();
  waiting.join();
  name.AwaitFirst(kForever, cancellation);
  EXPECT_THAT(*name.addresses(), IsEmpty());
  resolver_.Hang(false);
}

TEST_F(FollowedNameTest, AResolverThatHangsIsLeftBehind) {
  resolver_.Hang(true);
  const auto begin = std::chrono::steady_clock::now();
  { FollowedName name("name:1", resolver_.Options()); resolver_.AwaitHanging(); }
  EXPECT_TRUE(resolver_.IsInside());
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(500));
  resolver_.Hang(false);
  resolver_.AwaitResolutions(1);
}

TEST(ResolveWithSystemTest, KnowsLoopback) {
  const auto addresses = ResolveWithSystem("127.0.0.1:7421");
  ASSERT_TRUE(addresses.ok()) << addresses.status();
  EXPECT_THAT(*addresses, ElementsAre("127.0.0.1:7421"));
  EXPECT_TRUE(absl::IsUnavailable(ResolveWithSystem("no-such-name.invalid:7421").status()));
}

}  // namespace
}  // namespace chunkkv::client
