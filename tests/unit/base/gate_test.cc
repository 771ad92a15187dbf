#include "service/base/gate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

namespace chunkkv {
namespace {

TEST(GateTest, LetsEverybodyInUntilItIsClosed) {
  const auto gate = std::make_shared<Gate>();
  Gate::Pass first = gate->Enter();
  const Gate::Pass second = gate->Enter();
  EXPECT_TRUE(first && second);
  EXPECT_EQ(gate->inside(), 2);
  int quiet = 0;
  gate->Close([&] { ++quiet; });
  EXPECT_TRUE(gate->is_closed());
  EXPECT_FALSE(gate->Enter());
  EXPECT_EQ(quiet, 0);
  first = Gate::Pass();
  EXPECT_EQ(quiet, 0);
  gate->Close([&] { ++quiet; });
  {
    const Gate::Pass moved = std::move(const_cast<Gate::Pass&>(second));
    EXPECT_EQ(quiet, 0);
  }
  EXPECT_EQ(quiet, 2);
  EXPECT_EQ(gate->inside(), 0);
}

TEST(GateTest, IsQuietAtOnceWhereNobodyIsInside) {
  const auto gate = std::make_shared<Gate>();
  bool quiet = false;
  gate->Close([&] { quiet = true; });
  EXPECT_TRUE(quiet);
}

TEST(GateTest, OutlivesItsOwnerWhileSomebodyIsInside) {
  auto gate = std::make_shared<Gate>();
  bool quiet = false;
  Gate::Pass pass = gate->Enter();
  gate->Close([&] { quiet = true; });
  gate = nullptr;
  pass = Gate::Pass();
  EXPECT_TRUE(quiet);
}

TEST(GateTest, NobodyIsInsideOnceItWasSaidToBeQuiet) {
  for (int round = 0; round < 50; ++round) {
    const auto gate = std::make_shared<Gate>();
    std::atomic<bool> quiet{false};
    std::atomic<bool> broken{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int entered = 0; entered < 200; ++entered) {
          const Gate::Pass pass = gate->Enter();
          if (pass && quiet) broken = true;
        }
      });
    }
    gate->Close([&] { quiet = true; });
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(quiet);
    EXPECT_FALSE(broken);
  }
}

}  // namespace
}  // namespace chunkkv
