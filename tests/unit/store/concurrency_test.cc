// All operations at once.
#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "tests/unit/store/store_fixture.h"

namespace chunkkv {
namespace {

constexpr int kThreads = 4;
constexpr int kRounds = 150;

class StoreConcurrencyTest : public StoreTest {
 protected:
  // Room for about ten entries: they are evicted all the time.
  StoreConcurrencyTest() : StoreTest(256 << 10) {}
};

// One thread's part: a random operation on one of a few prompts at a time.
class Visitor {
 public:
  Visitor(EntryStore& store, FakeClock& clock, uint32_t seed) : store_(store), clock_(clock), random_(seed) {
    for (uint32_t i = 0; i < 4; ++i) {
      made_.push_back(MakeEntry(Prompt(i * 1000)));
      made_.push_back(MakeEntry(Compacted(Prompt(i * 1000), 0.3)));
    }
  }

  void Visit() {
    const MadeEntry& made = made_[random_() % made_.size()];
    switch (random_() % 12) {
      case 0:
        return store_.EndPut(store_.BeginPut(made.identity));
      case 1:
        return Find(made);
      case 2:
        return Wait(made);
      case 3:
        return Pin(made);
      case 4:
        store_.Delete(ByName(made)).IgnoreError();
        return;
      case 5:
        store_.Trim({.tenant = "tenant", .older_than_ms = 3, .fingerprint = {}, .prefix = {}});
        return;
      case 6:
        return Watch();
      case 7:
        clock_.AdvanceMs(1);
        return store_.ExpireNow();
      case 8:
        return store_.Scrub(20'000);
      case 9:
        return List();
      default:
        return PutAndGet(made);
    }
  }

  int64_t served() const { return served_; }

 private:
  static Selector ByName(const MadeEntry& made) {
    Selector selector;
    selector.tenant = "tenant";
    selector.identity = made.identity;
    return selector;
  }

  void Check(const EntryPtr& entry) {
    ++served_;
    for (const TensorSlot& slot : entry->header().tensors) {
      ASSERT_EQ(entry->TensorBytes(slot)[0], static_cast<std::byte>(static_cast<size_t>(slot.offset) * 31 + 1));
    }
  }

  void PutAndGet(const MadeEntry& made) {
    MadeEntry with_life = made;
    if (random_() % 2 == 0) with_life.header.expires_unix_ms = clock_.UnixMs() + 5;
    auto result = PutEntry(store_, with_life, {.pin_ms = static_cast<int64_t>(random_() % 2)});
    if (result.ok()) {
      Check(result->entry);
    } else {
      EXPECT_EQ(StatusReason(result.status()), "BUDGET");
    }
    auto entry = store_.Get(PromptNameOf(made.identity), kAcceptLeastLossy, std::nullopt);
    if (entry.ok()) Check(*entry);
  }

  void Find(const MadeEntry& made) {
    const std::vector<uint32_t> tokens = CountingTokens(120, static_cast<uint32_t>(random_() % 4) * 1000);
    PrefixQuery query;
    query.tenant = "tenant";
    query.fingerprint = made.identity.fingerprint;
    query.shards = {made.identity.shard};
    query.prompt = DigestPrompt(tokens, {});
    query.tokens = tokens;
    query.hold_ms = static_cast<int64_t>(random_() % 2);
    auto match = store_.FindLongestPrefix(query);
    if (!match.ok()) return;
    Check(match->entries[0].entry);
    if (match->lease.has_value()) store_.Unpin("tenant", match->lease->id).IgnoreError();
  }

  void Wait(const MadeEntry& made) {
    auto calls = std::make_shared<std::atomic<int>>(0);
    const auto id = store_.Wait(PromptNameOf(made.identity), kAcceptExact, [calls](absl::StatusOr<EntryPtr> result) {
      EXPECT_TRUE(result.ok() || StatusReason(result.status()) == "PUT_FAILED");
      ++*calls;
    });
    // One of the two, never both.
    if (store_.CancelWait(id)) {
      EXPECT_EQ(*calls, 0);
    }
  }

  void Pin(const MadeEntry& made) {
    auto lease = store_.Pin(ByName(made), 2);
    if (!lease.ok()) return;
    store_.Describe(ByName(made)).status().IgnoreError();
    if (random_() % 2 == 0) store_.Unpin("tenant", lease->id).IgnoreError();
  }

  void Watch() {
    const auto id = store_.AddWatcher([] {});
    int64_t sequence = 0;
    bool gap = false;
    store_.Snapshot("tenant", &sequence);
    store_.EventsAfter("tenant", sequence, 100, &sequence, &gap);
    EXPECT_FALSE(gap);
    store_.RemoveWatcher(id);
  }

  void List() {
    std::optional<Bytes16> last;
    for (const EntryState& state : store_.List("tenant", std::nullopt, std::nullopt, 10)) {
      if (last.has_value()) {
        EXPECT_LT(*last, state.entry->header().entry_id);
      }
      last = state.entry->header().entry_id;
    }
    const StoreStats stats = store_.Stats();
    EXPECT_LE(stats.used_bytes, stats.budget_bytes);
    EXPECT_GE(store_.StatsOf("tenant").entries, 0);
  }

  EntryStore& store_;
  FakeClock& clock_;
  std::mt19937 random_;
  std::vector<MadeEntry> made_;
  int64_t served_ = 0;
};

TEST_F(StoreConcurrencyTest, IsSoundAndAtRestAfterManyThreadsDidEverything) {
  std::atomic<int64_t> served = 0;
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      Visitor visitor(*store_, clock_, t);
      for (int i = 0; i < kRounds; ++i) visitor.Visit();
      served += visitor.served();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(served, 0);
  EXPECT_EQ(store_->Stats().damaged_entries, 0);
  clock_.AdvanceMs(1000);
  ExpectAtRest(*store_);
  EXPECT_EQ(store_->Stats().entries, store_->StatsOf("tenant").entries);
}

TEST_F(StoreConcurrencyTest, OneOfManyPutsOfAnIdentityWins) {
  std::atomic<int> winners = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (uint32_t i = 0; i < 20; ++i) {
        auto result = PutEntry(*store_, Prompt(i * 1000, 5));
        ASSERT_TRUE(result.ok()) << result.status();
        if (!result->already_stored) ++winners;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(winners, store_->Stats().evictions + store_->Stats().entries);
}

}  // namespace
}  // namespace chunkkv
