// Which entry a reader gets.
#include "tests/unit/store/store_fixture.h"

namespace chunkkv {
namespace {

using absl::StatusCode;

class StoreGetTest : public StoreTest {
 protected:
  absl::StatusOr<EntryPtr> Get(const AcceptRule& accept, const std::optional<Bytes16>& if_entry_id = std::nullopt) {
    return store_->Get(PromptNameOf(MakeEntry(Prompt(0)).identity), accept, if_entry_id);
  }
};

TEST_F(StoreGetTest, ServesExactOnlyWhatIsLossless) {
  Put(Compacted(Prompt(0), 0.5));
  EXPECT_THAT(Get(kAcceptExact), IsError(StatusCode::kNotFound, "ENTRY_NOT_FOUND"));
  EntryRecipe kept_full = Compacted(Prompt(0), 0.2);
  kept_full.kept_full = true;
  const EntryPtr full_of_variant = Put(kept_full);
  EXPECT_EQ(*Get(kAcceptExact), full_of_variant);
  const EntryPtr exact = Put(Prompt(0));
  EXPECT_EQ(*Get(kAcceptExact), exact);
}

TEST_F(StoreGetTest, ServesTheVariantAskedFor) {
  const EntryPtr full = Put(Prompt(0));
  const EntryPtr compacted = Put(Compacted(Prompt(0), 0.2));
  EXPECT_EQ(*Get(AcceptVariant(compacted->identity().variant)), compacted);
  EXPECT_EQ(*Get(AcceptVariant(kExactVariant)), full);
  Bytes32 unknown{};
  unknown[0] = 1;
  EXPECT_FALSE(Get(AcceptVariant(unknown)).ok());
}

TEST_F(StoreGetTest, ServesTheLeastLossy) {
  const EntryPtr tenth = Put(Compacted(Prompt(0), 0.1));
  EXPECT_EQ(*Get(kAcceptLeastLossy), tenth);
  const EntryPtr half = Put(Compacted(Prompt(0), 0.5));
  Put(Compacted(Prompt(0), 0.2));
  EXPECT_EQ(*Get(kAcceptLeastLossy), half);
  const EntryPtr full = Put(Prompt(0));
  EXPECT_EQ(*Get(kAcceptLeastLossy), full);
}

TEST_F(StoreGetTest, AmongEqualRowsServesTheOneWithMoreMassThenTheNewer) {
  EntryRecipe low = Compacted(Prompt(0), 0.2), high = Compacted(Prompt(0), 0.201);  // both keep 20 rows
  low.retained_mass = 0.5;
  high.retained_mass = 0.6;
  const EntryPtr with_high = Put(high);
  clock_.AdvanceMs(1);
  Put(low);
  EXPECT_EQ(*Get(kAcceptLeastLossy), with_high);
  clock_.AdvanceMs(1);
  EntryRecipe newer = Compacted(Prompt(0), 0.202);
  newer.retained_mass = 0.6;
  const EntryPtr newest = Put(newer);
  EXPECT_EQ(*Get(kAcceptLeastLossy), newest);
}

TEST_F(StoreGetTest, IfEntryIdMakesSureItIsTheSameEntry) {
  const EntryPtr first = Put(Prompt(0));
  EXPECT_TRUE(Get(kAcceptExact, first->header().entry_id).ok());
  ASSERT_TRUE(store_->Delete(SelectorOf(first)).ok());
  Put(Prompt(0));
  EXPECT_THAT(Get(kAcceptExact, first->header().entry_id), IsError(StatusCode::kNotFound, "ENTRY_NOT_FOUND"));
}

TEST_F(StoreGetTest, IfEntryIdStaysWithTheEntryWhenALessLossyOneComes) {
  const EntryPtr lossy = Put(Compacted(Prompt(0), 0.2));
  const EntryPtr exact = Put(Prompt(0));
  EXPECT_EQ(*Get(kAcceptLeastLossy), exact);
  EXPECT_EQ(*Get(kAcceptLeastLossy, lossy->header().entry_id), lossy);
  EXPECT_FALSE(Get(kAcceptExact, lossy->header().entry_id).ok());
  const EntryPtr other_prompt = Put(Prompt(5000));
  EXPECT_FALSE(Get(kAcceptExact, other_prompt->header().entry_id).ok());
}

TEST_F(StoreGetTest, AnotherTenantsEntryIsAMissLikeAnyOther) {
  EntryRecipe recipe = Prompt(0);
  recipe.tenant = "other";
  const EntryPtr theirs = Put(recipe);
  const auto miss = Get(kAcceptLeastLossy);
  EXPECT_THAT(miss, IsError(StatusCode::kNotFound, "ENTRY_NOT_FOUND"));
  Selector selector = SelectorOf(theirs);
  selector.tenant = "tenant";
  EXPECT_EQ(store_->Describe(selector).status(), miss.status());
  EXPECT_EQ(store_->Delete(selector), miss.status());
  EXPECT_EQ(store_->Pin(selector, 10).status(), miss.status());
  selector.entry_id.reset();
  selector.identity = theirs->identity();
  EXPECT_EQ(store_->Describe(selector).status(), miss.status());
  EXPECT_TRUE(Has(theirs));
}

TEST_F(StoreGetTest, CountsHitsAndMissesInTokens) {
  const EntryPtr entry = Put(Prompt(0));
  clock_.AdvanceMs(5);
  ASSERT_TRUE(Get(kAcceptExact).ok());
  ASSERT_TRUE(Get(kAcceptExact).ok());
  Bytes32 unknown{};
  unknown[0] = 1;
  EXPECT_FALSE(store_->Get(PromptNameOf(entry->identity()), AcceptVariant(unknown), std::nullopt, 77).ok());
  EXPECT_EQ(store_->StatsOf("tenant").hit_tokens, 200);
  EXPECT_EQ(store_->StatsOf("tenant").miss_tokens, 77);
  auto state = store_->Describe(SelectorOf(entry));
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(state->hit_count, 2);
  EXPECT_EQ(state->last_used_unix_ms, clock_.UnixMs());
}

}  // namespace
}  // namespace chunkkv
