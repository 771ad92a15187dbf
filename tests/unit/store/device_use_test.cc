// Much use of both tiers at once: what is served is what was put, budgets hold, nothing is left behind.
#include <random>
#include <thread>

#include "service/base/executor.h"
#include "tests/unit/store/device_fixture.h"

namespace chunkkv {
namespace {

class DeviceUseTest : public DeviceStoreTest {
 protected:
  DeviceUseTest() : DeviceStoreTest(5 * kMiB / 2) {}

  // One random operation on one of ten entries; a read must give exactly what was put.
  void UseOne(std::mt19937& random) {
    const EntryRecipe& recipe = recipes_[random() % recipes_.size()];
    const MadeEntry& made = made_[&recipe - recipes_.data()];
    Selector selector;
    selector.tenant = "tenant";
    selector.identity = made.identity;
    const uint32_t choice = random() % 100;
    if (choice < 50) {
      const auto entry = store_->Get(PromptNameOf(made.identity), kAcceptExact, std::nullopt);
      if (entry.ok()) {
        EXPECT_EQ((*entry)->body(), absl::MakeConstSpan(made.body));
        ++served_;
      } else {
        EXPECT_THAT(entry.status().code(),
                    testing::AnyOf(absl::StatusCode::kNotFound, absl::StatusCode::kResourceExhausted));
      }
    } else if (choice < 80) {
      PutEntry(*store_, made).IgnoreError();
    } else if (choice < 90) {
      store_->Delete(selector).IgnoreError();
    } else if (choice < 95) {
      const auto lease = store_->Pin(selector, 10);
      if (lease.ok() && random() % 2 == 0) {
        EXPECT_TRUE(store_->Unpin("tenant", lease->id).ok());
      }
    } else {
      store_->Reserve(static_cast<int64_t>(random() % (2 * kMiB))).IgnoreError();
    }
    const StoreStats stats = store_->Stats();
    EXPECT_LE(stats.used_bytes, stats.budget_bytes);
    EXPECT_LE(stats.device->used_bytes, stats.device->budget_bytes);
    EXPECT_LE(stats.device->entry_bytes, stats.device->used_bytes);
  }

  void MakeEntries() {
    for (uint32_t i = 0; i < 10; ++i) {
      EntryRecipe recipe = BigPrompt(i);
      recipe.tokens = CountingTokens(200 + 150 * i, i * 10'000);
      recipes_.push_back(recipe);
      made_.push_back(MakeEntry(recipe));
    }
  }

  std::vector<EntryRecipe> recipes_;
  std::vector<MadeEntry> made_;
  std::atomic<int> served_{0};
};

TEST_F(DeviceUseTest, RandomUse) {
  MakeEntries();
  std::mt19937 random(1);
  for (int step = 0; step < 3000; ++step) {
    UseOne(random);
    if (random() % 3 == 0) RunMoves();
    if (random() % 10 == 0) clock_.AdvanceMs(5);
  }
  EXPECT_GT(served_, 500);
  EXPECT_GT(Device().promotions, 50);
  EXPECT_GT(Device().demotions, 0);
  EXPECT_GT(Device().returns, Device().demotions);
  clock_.AdvanceMs(10);
}

TEST_F(DeviceUseTest, ManyThreads) {
  MakeEntries();
  {
    Executor executor(2);
    OpenDevice([&](std::function<void()> task) { executor.Post(std::move(task)); });
    std::vector<std::thread> threads;
    for (uint32_t t = 0; t < 4; ++t) {
      threads.emplace_back([this, t] {
        std::mt19937 random(t);
        for (int step = 0; step < 200; ++step) UseOne(random);
      });
    }
    for (std::thread& thread : threads) thread.join();
    store_->StopPromoting();
  }
  EXPECT_GT(served_, 50);
  EXPECT_GT(Device().promotions, 0);
  clock_.AdvanceMs(10);
}

TEST_F(DeviceUseTest, ReadersOfOneEntryShareOneCopyOfIt) {
  const Selector entry = Store(BigPrompt(0));
  FillHostMemory();
  ASSERT_FALSE(IsInHost(entry));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) threads.emplace_back([this] { ExpectServed(BigPrompt(0)); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Device().returns, 1);
}

}  // namespace
}  // namespace chunkkv
