// A store with a fake clock and a budget that tests can fill.
#ifndef CHUNKKV_TESTS_UNIT_STORE_STORE_FIXTURE_H_
#define CHUNKKV_TESTS_UNIT_STORE_STORE_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/store/entry_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/store_at_rest.h"
#include "tests/support/test_entry.h"

namespace chunkkv {

inline constexpr AcceptRule kAcceptExact{AcceptRule::Kind::kExact, {}};
inline constexpr AcceptRule kAcceptLeastLossy{AcceptRule::Kind::kLeastLossy, {}};
inline AcceptRule AcceptVariant(const Bytes32& variant) { return {AcceptRule::Kind::kVariant, variant}; }

// Recipe of a prompt of `token_count` tokens; prompts with different `first_token` share no prefix.
inline EntryRecipe Prompt(uint32_t first_token, int64_t token_count = 100) {
  EntryRecipe recipe;
  recipe.tokens = CountingTokens(token_count, first_token);
  return recipe;
}
inline EntryRecipe Compacted(EntryRecipe recipe, double keep_ratio) {
  recipe.keep_ratio = keep_ratio;
  return recipe;
}

class StoreTest : public testing::Test {
 protected:
  explicit StoreTest(int64_t budget_bytes = int64_t{64} << 20) {
    options_.host_budget_bytes = budget_bytes;
    Restart();
  }
  ~StoreTest() override { ExpectAtRest(*store_); }

  void Restart() { store_ = std::make_unique<EntryStore>(options_, clock_); }

  EntryPtr Put(const EntryRecipe& recipe) {
    auto result = PutEntry(*store_, recipe);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? result->entry : nullptr;
  }
  bool Has(const EntryPtr& entry) { return store_->Describe(SelectorOf(entry)).ok(); }
  // The id alone, without the reference that would keep the entry from making room.
  Selector PutAndForget(const EntryRecipe& recipe) {
    const EntryPtr entry = Put(recipe);
    return entry == nullptr ? Selector() : SelectorOf(entry);
  }
  bool Has(const Selector& selector) { return store_->Describe(selector).ok(); }

  StoreOptions options_;
  FakeClock clock_;
  std::unique_ptr<EntryStore> store_;
};

// Status of `code` with this reason.
MATCHER_P2(IsError, code, reason, "") {
  const absl::Status status = arg.status();
  *result_listener << status << " (" << StatusReason(status) << ")";
  return status.code() == code && StatusReason(status) == reason;
}
MATCHER_P2(IsErrorStatus, code, reason, "") {
  *result_listener << arg << " (" << StatusReason(arg) << ")";
  return arg.code() == code && StatusReason(arg) == reason;
}

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_UNIT_STORE_STORE_FIXTURE_H_
