// Looking for damage in the background.
#include "tests/unit/store/store_fixture.h"

namespace chunkkv {
namespace {

class StoreScrubTest : public StoreTest {
 protected:
  static void FlipByte(const EntryPtr& entry, size_t at) {
    const_cast<std::byte*>(entry->body().data())[at] ^= std::byte{0x10};
  }
};

TEST_F(StoreScrubTest, FindsNothingInSoundEntries) {
  int64_t body_bytes = 0;
  for (const EntryRecipe& recipe : {Prompt(0), Compacted(Prompt(0), 0.2), Prompt(1000)}) {
    body_bytes += Put(recipe)->header().BodyBytes();
  }
  store_->Scrub(1 << 30);
  EXPECT_EQ(store_->Stats().entries, 3);
  EXPECT_EQ(store_->Stats().damaged_entries, 0);
  EXPECT_GE(store_->Stats().scrubbed_bytes, body_bytes - 100);
  EXPECT_LE(store_->Stats().scrubbed_bytes, 2 * body_bytes);
}

TEST_F(StoreScrubTest, FindsAFlippedByteWhereverItIs) {
  for (const EntryRecipe& recipe : {Prompt(0), Compacted(Prompt(0), 0.2)}) {
    const size_t size = MakeEntry(recipe).body.size();
    for (const size_t at : {size_t{0}, size_t{41}, size / 2, size - 1}) {
      const EntryPtr sound = Put(Prompt(5000)), damaged = Put(recipe);
      FlipByte(damaged, at);
      store_->Scrub(1 << 30);
      EXPECT_TRUE(Has(sound));
      EXPECT_FALSE(Has(damaged)) << at;
    }
  }
  EXPECT_EQ(store_->Stats().damaged_entries, 8);
}

TEST_F(StoreScrubTest, GoesRoundInSmallSteps) {
  int64_t body_bytes = 0;
  std::vector<EntryPtr> entries;
  for (uint32_t i = 0; i < 6; ++i) {
    EntryRecipe recipe = Prompt(i * 1000);
    recipe.tenant = "tenant" + std::to_string(i % 3);
    entries.push_back(Put(recipe));
    body_bytes += entries.back()->header().BodyBytes();
  }
  const int64_t step_bytes = entries[0]->header().tensors[0].size_bytes;
  // From wherever the round is, one more round finds the damage.
  for (const EntryPtr& entry : entries) {
    store_->Scrub(step_bytes);
    FlipByte(entry, entry->body().size() - 1);
    int steps = 0;
    while (Has(entry) && steps <= body_bytes / step_bytes + 6) {
      store_->Scrub(step_bytes);
      ++steps;
    }
    EXPECT_FALSE(Has(entry));
    EXPECT_GT(steps, 0);
  }
  EXPECT_EQ(store_->Stats().damaged_entries, 6);
}

TEST_F(StoreScrubTest, TakesOffTheNextCallsWhatATensorTookTooMuch) {
  const EntryPtr entry = Put(Prompt(0));
  const int64_t tensor_bytes = entry->header().tensors[0].size_bytes;
  const int64_t allowed_bytes = tensor_bytes / 8;
  ASSERT_GT(allowed_bytes, 0);
  store_->Scrub(allowed_bytes);
  EXPECT_EQ(store_->Stats().scrubbed_bytes, tensor_bytes);
  for (int call = 2; call <= 40; ++call) {
    store_->Scrub(allowed_bytes);
    EXPECT_LT(store_->Stats().scrubbed_bytes, call * allowed_bytes + tensor_bytes);
    EXPECT_GE(store_->Stats().scrubbed_bytes, call * allowed_bytes);
  }
}

TEST_F(StoreScrubTest, RemovesADamagedEntryThatIsPinned) {
  const EntryPtr entry = Put(Prompt(0));
  ASSERT_TRUE(store_->Pin(SelectorOf(entry), 1000).ok());
  FlipByte(entry, 0);
  store_->Scrub(1 << 30);
  EXPECT_FALSE(Has(entry));
  EXPECT_EQ(store_->Stats().pins, 0);
}

TEST_F(StoreScrubTest, DoesNothingInAnEmptyStore) {
  store_->Scrub(1 << 30);
  EXPECT_EQ(store_->Stats().scrubbed_bytes, 0);
}

}  // namespace
}  // namespace chunkkv
