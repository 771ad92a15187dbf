// The longest stored beginning of a prompt.
#include <random>
#include <vector>

#include "tests/unit/store/store_fixture.h"

namespace chunkkv {
namespace {

using absl::StatusCode;

class StorePrefixTest : public StoreTest {
 protected:
  // A query by tokens.
  PrefixQuery Query(const std::vector<uint32_t>& tokens) {
    tokens_ = tokens;
    PrefixQuery query;
    query.tenant = "tenant";
    query.fingerprint = MakeEntry(Prompt(0)).identity.fingerprint;
    query.shards = {TestShard()};
    query.prompt = DigestPrompt(tokens_, {});
    query.tokens = tokens_;
    return query;
  }
  PrefixQuery QueryByDigests(const std::vector<uint32_t>& tokens) {
    PrefixQuery query = Query(tokens);
    query.tokens = {};
    return query;
  }
  // 0: a miss.
  int64_t Covered(const PrefixQuery& query) {
    const auto match = store_->FindLongestPrefix(query);
    if (match.ok()) return match->covered_tokens;
    EXPECT_THAT(match, IsError(StatusCode::kNotFound, "PREFIX_NOT_FOUND"));
    return 0;
  }
  std::vector<uint32_t> tokens_;
};

TEST_F(StorePrefixTest, FindsNothingInAnEmptyStore) { EXPECT_EQ(Covered(Query(CountingTokens(200))), 0); }

TEST_F(StorePrefixTest, AFullEntryServesWholeBlocksOfAnyPromptThatBeginsAlike) {
  Put(Prompt(0, 300));  // 4 blocks and 44 tokens
  std::vector<uint32_t> tokens = CountingTokens(1000);
  for (const auto& [same_tokens, covered] :
       {std::pair(63, 0), {64, 64}, {127, 64}, {128, 128}, {255, 192}, {256, 256}, {299, 256}}) {
    std::vector<uint32_t> other = CountingTokens(1000);
    for (size_t i = static_cast<size_t>(same_tokens); i < other.size(); ++i) other[i] += 7777;
    EXPECT_EQ(Covered(Query(other)), covered) << same_tokens;
    EXPECT_EQ(Covered(QueryByDigests(other)), covered) << same_tokens;
  }
  EXPECT_EQ(Covered(Query(tokens)), 300);
  EXPECT_EQ(Covered(QueryByDigests(tokens)), 256);
}

TEST_F(StorePrefixTest, AShorterPromptIsServedByALongerFullEntry) {
  Put(Prompt(0, 300));
  EXPECT_EQ(Covered(Query(CountingTokens(64))), 64);
  EXPECT_EQ(Covered(Query(CountingTokens(100))), 64);
  EXPECT_EQ(Covered(Query(CountingTokens(63))), 0);
}

TEST_F(StorePrefixTest, TheWholePromptIsCoveredToItsLastToken) {
  for (const int64_t length : {1, 63, 64, 65, 128, 129}) {
    Put(Prompt(0, length));
    EXPECT_EQ(Covered(Query(CountingTokens(length))), length);
    EXPECT_EQ(Covered(QueryByDigests(CountingTokens(length))), length);
    ASSERT_EQ(store_->Trim({.tenant = "tenant", .older_than_ms = 0, .fingerprint = {}, .prefix = {}}).removed_entries,
              1);
  }
}

TEST_F(StorePrefixTest, AShortEntryServesALongerPromptWhoseTokensAreGiven) {
  Put(Prompt(0, 10));
  EXPECT_EQ(Covered(Query(CountingTokens(11))), 10);
  EXPECT_EQ(Covered(QueryByDigests(CountingTokens(11))), 0);
  EXPECT_EQ(Covered(Query(CountingTokens(9))), 0);
}

TEST_F(StorePrefixTest, OtherEntriesServeOnlyPromptsThatBeginWithAllOfTheirs) {
  EntryRecipe verbatim = Prompt(100'000, 300);
  verbatim.verbatim_layer = true;
  EntryRecipe kept_full = Compacted(Prompt(200'000, 300), 0.2);
  kept_full.kept_full = true;
  for (const EntryRecipe& recipe : {Compacted(Prompt(0, 300), 0.2), verbatim, kept_full}) {
    const EntryPtr entry = Put(recipe);
    EXPECT_EQ(Covered(Query(CountingTokens(300, recipe.tokens[0]))), 300);
    EXPECT_EQ(Covered(Query(CountingTokens(301, recipe.tokens[0]))), 300);
    EXPECT_EQ(Covered(Query(CountingTokens(299, recipe.tokens[0]))), 0);
    std::vector<uint32_t> other = CountingTokens(400, recipe.tokens[0]);
    other[299] += 1;
    EXPECT_EQ(Covered(Query(other)), 0);
  }
}

TEST_F(StorePrefixTest, PrefersMoreTokensThenTheLessLossy) {
  Put(Prompt(0, 128));
  const EntryPtr longer = Put(Compacted(Prompt(0, 192), 0.2));
  auto match = store_->FindLongestPrefix(Query(CountingTokens(200)));
  ASSERT_TRUE(match.ok());
  EXPECT_EQ(match->covered_tokens, 192);
  EXPECT_EQ(match->entries[0].entry, longer);
  const EntryPtr less_lossy = Put(Compacted(Prompt(0, 192), 0.5));
  EXPECT_EQ(store_->FindLongestPrefix(Query(CountingTokens(200)))->entries[0].entry, less_lossy);
  const EntryPtr full = Put(Prompt(0, 500));
  match = store_->FindLongestPrefix(Query(CountingTokens(200)));
  EXPECT_EQ(match->entries[0].entry, full);
  EXPECT_EQ(match->covered_tokens, 192);
}

TEST_F(StorePrefixTest, FollowsTheAcceptRule) {
  const EntryPtr exact = Put(Prompt(0, 128));
  const EntryPtr fifth = Put(Compacted(Prompt(0, 192), 0.2));
  const EntryPtr tenth = Put(Compacted(Prompt(0, 192), 0.1));
  PrefixQuery query = Query(CountingTokens(200));
  query.accept = kAcceptExact;
  auto match = store_->FindLongestPrefix(query);
  EXPECT_EQ(match->entries[0].entry, exact);
  EXPECT_EQ(match->covered_tokens, 128);
  query.accept = AcceptVariant(tenth->identity().variant);
  EXPECT_EQ(store_->FindLongestPrefix(query)->entries[0].entry, tenth);
  query.accept = kAcceptLeastLossy;
  EXPECT_EQ(store_->FindLongestPrefix(query)->entries[0].entry, fifth);
}

TEST_F(StorePrefixTest, KeepsTenantsModelsAndShardsApart) {
  Put(Prompt(0, 128));
  PrefixQuery query = Query(CountingTokens(128));
  query.tenant = "other";
  EXPECT_EQ(Covered(query), 0);
  query = Query(CountingTokens(128));
  query.fingerprint[0] ^= 1;
  EXPECT_EQ(Covered(query), 0);
  query = Query(CountingTokens(128));
  query.shards[0].tp_rank = 1;
  EXPECT_EQ(Covered(query), 0);
}

TEST_F(StorePrefixTest, BlocksOfAnotherSizeNeverMatch) {
  MadeEntry made = MakeEntry(Prompt(0, 128));
  made.header.block_size = 128;
  made.header.block_digests = {made.header.block_digests[0]};
  ASSERT_TRUE(PutEntry(*store_, made).ok());
  EXPECT_EQ(Covered(Query(CountingTokens(128))), 0);
  PrefixQuery query = QueryByDigests(CountingTokens(128));
  query.prompt.block_size = 128;
  query.prompt.digests.resize(1);
  EXPECT_EQ(Covered(query), 128);
}

TEST_F(StorePrefixTest, DigestsThatAreNotChainedMatchOnlyAsAWhole) {
  MadeEntry made = MakeEntry(Prompt(0, 192));
  ASSERT_TRUE(PutEntry(*store_, made).ok());
  PrefixQuery query = QueryByDigests(CountingTokens(192));
  query.prompt.digests[0][5] ^= 1;  // another first block; the later digests are the entry's
  EXPECT_EQ(Covered(query), 0);
}

TEST_F(StorePrefixTest, CountsOnlyWhatAllShardsHave) {
  Shard first = TestShard(), second = TestShard();
  first.tp_size = second.tp_size = 2;
  second.tp_rank = 1;
  second.first_kv_head = 0;
  EntryRecipe longer = Prompt(0, 256), shorter = Prompt(0, 128);
  longer.shard = first;
  shorter.shard = second;
  PrefixQuery query = Query(CountingTokens(300));
  query.shards = {first, second};
  const EntryPtr of_first = Put(longer);
  EXPECT_EQ(Covered(query), 0);
  const EntryPtr of_second = Put(shorter);
  auto match = store_->FindLongestPrefix(query);
  ASSERT_TRUE(match.ok());
  EXPECT_EQ(match->covered_tokens, 128);
  ASSERT_EQ(match->entries.size(), 2u);
  EXPECT_EQ(match->entries[0].entry, of_first);
  EXPECT_EQ(match->entries[1].entry, of_second);
}

TEST_F(StorePrefixTest, CompactedShardsMustBeOfOneKeyAndVariant) {
  Shard first = TestShard(), second = TestShard();
  first.tp_size = second.tp_size = 2;
  second.tp_rank = 1;
  const auto recipe = [](const Shard& shard, double keep_ratio) {
    EntryRecipe recipe = Compacted(Prompt(0, 128), keep_ratio);
    recipe.shard = shard;
    return recipe;
  };
  PrefixQuery query = Query(CountingTokens(150));
  query.shards = {first, second};
  Put(recipe(first, 0.5));
  Put(recipe(second, 0.2));
  EXPECT_EQ(Covered(query), 0);
  Put(recipe(first, 0.2));
  auto match = store_->FindLongestPrefix(query);
  ASSERT_TRUE(match.ok());
  EXPECT_EQ(match->covered_tokens, 128);
  EXPECT_EQ(match->entries[0].entry->identity().variant, match->entries[1].entry->identity().variant);
}

TEST_F(StorePrefixTest, HoldsWhatItFound) {
  const EntryPtr entry = Put(Prompt(0, 128));
  PrefixQuery query = Query(CountingTokens(128));
  query.hold_ms = 300;
  const auto match = store_->FindLongestPrefix(query);
  ASSERT_TRUE(match.ok() && match->lease.has_value());
  EXPECT_EQ(match->lease->expires_unix_ms, clock_.UnixMs() + 300);
  EXPECT_THAT(store_->Delete(SelectorOf(entry)), IsErrorStatus(StatusCode::kFailedPrecondition, "PINNED"));
  ASSERT_TRUE(store_->Unpin("tenant", match->lease->id).ok());
  EXPECT_TRUE(store_->Delete(SelectorOf(entry)).ok());
  query.hold_ms = options_.max_pin_ms + 1;
  EXPECT_THAT(store_->FindLongestPrefix(query), IsError(StatusCode::kInvalidArgument, "BAD_HOLD"));
}

TEST_F(StorePrefixTest, RefusesQueriesThatContradictThemselves) {
  PrefixQuery query = Query(CountingTokens(128));
  query.prompt.token_count = 129;
  EXPECT_THAT(store_->FindLongestPrefix(query), IsError(StatusCode::kInvalidArgument, "BAD_BLOCK_DIGESTS"));
  query = Query(CountingTokens(128));
  query.prompt.block_size = 0;
  EXPECT_THAT(store_->FindLongestPrefix(query), IsError(StatusCode::kInvalidArgument, "BAD_BLOCK_DIGESTS"));
  query = Query(CountingTokens(128));
  query.shards.clear();
  EXPECT_THAT(store_->FindLongestPrefix(query), IsError(StatusCode::kInvalidArgument, "BAD_SHARD"));
}

TEST_F(StorePrefixTest, ForgetsWhatIsGone) {
  const EntryPtr shorter = Put(Prompt(0, 128));
  const EntryPtr longer = Put(Prompt(0, 300));
  ASSERT_TRUE(store_->Delete(SelectorOf(longer)).ok());
  EXPECT_EQ(Covered(Query(CountingTokens(300))), 128);
  ASSERT_TRUE(store_->Delete(SelectorOf(shorter)).ok());
  EXPECT_EQ(Covered(Query(CountingTokens(300))), 0);
}

TEST_F(StorePrefixTest, UsesWhatItFinds) {
  const EntryPtr entry = Put(Prompt(0, 128));
  clock_.AdvanceMs(10);
  EXPECT_EQ(Covered(Query(CountingTokens(200))), 128);
  EXPECT_EQ(store_->Describe(SelectorOf(entry))->last_used_unix_ms, clock_.UnixMs());
  EXPECT_EQ(store_->StatsOf("tenant").miss_tokens, 72);
}

// Against a plain scan over all entries, with entries coming and going.
TEST_F(StorePrefixTest, AgreesWithAScanOverRandomPrompts) {
  std::mt19937 random(7);
  const auto pick = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  // Few choices at each block, so that prefixes are shared.
  const auto random_tokens = [&](int64_t length) {
    std::vector<uint32_t> tokens;
    while (static_cast<int64_t>(tokens.size()) < length) {
      const uint32_t word = pick(2);
      for (int i = 0; i < 32 && static_cast<int64_t>(tokens.size()) < length; ++i) tokens.push_back(word);
    }
    return tokens;
  };
  struct Live {
    EntryPtr entry;
    std::vector<uint32_t> tokens;
    bool any_prefix;
  };
  std::vector<Live> live;
  int hits = 0;
  for (int round = 0; round < 600; ++round) {
    if (live.size() > 40 || (!live.empty() && pick(4) == 0)) {
      const size_t victim = pick(static_cast<uint32_t>(live.size()));
      ASSERT_TRUE(store_->Delete(SelectorOf(live[victim].entry)).ok());
      live.erase(live.begin() + static_cast<int64_t>(victim));
    } else {
      EntryRecipe recipe;
      recipe.tokens = random_tokens(1 + pick(260));
      if (pick(2) == 0) recipe.keep_ratio = 0.5;
      auto result = PutEntry(*store_, recipe);
      ASSERT_TRUE(result.ok());
      if (!result->already_stored) live.push_back({result->entry, recipe.tokens, result->entry->header().IsExact()});
    }
    const std::vector<uint32_t> asked = random_tokens(1 + pick(260));
    int64_t expected = 0;
    for (const Live& entry : live) {
      int64_t common = 0;
      while (common < static_cast<int64_t>(std::min(asked.size(), entry.tokens.size())) &&
             asked[static_cast<size_t>(common)] == entry.tokens[static_cast<size_t>(common)]) {
        ++common;
      }
      const bool whole = common == static_cast<int64_t>(entry.tokens.size());
      if (whole) expected = std::max(expected, common);
      if (entry.any_prefix) expected = std::max(expected, common / 64 * 64);
    }
    ASSERT_EQ(Covered(Query(asked)), expected) << "round " << round;
    hits += expected > 0;
  }
  EXPECT_GT(hits, 200);
}

}  // namespace
}  // namespace chunkkv
