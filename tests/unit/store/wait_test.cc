// Readers that wait for puts.
#include <thread>
#include <vector>

#include "tests/unit/store/store_fixture.h"

namespace chunkkv {
namespace {

using absl::StatusCode;

class StoreWaitTest : public StoreTest {
 protected:
  // What one wait was answered.
  struct Answer {
    int calls = 0;
    absl::StatusOr<EntryPtr> result = absl::UnknownError("not called");
  };

  EntryStore::WaitId Wait(const AcceptRule& accept, Answer& answer, int64_t miss_tokens = 0) {
    return store_->Wait(
        PromptNameOf(full_.identity), accept,
        [&answer](absl::StatusOr<EntryPtr> result) {
          ++answer.calls;
          answer.result = std::move(result);
        },
        miss_tokens);
  }
  void ExpectServed(Answer& answer, const Bytes32& variant) {
    ASSERT_EQ(answer.calls, 1);
    ASSERT_TRUE(answer.result.ok()) << answer.result.status();
    EXPECT_EQ((*answer.result)->identity().variant, variant);
  }

  const MadeEntry full_ = MakeEntry(Prompt(0));
  const MadeEntry compacted_ = MakeEntry(Compacted(Prompt(0), 0.2));
};

TEST_F(StoreWaitTest, IsAnsweredAtOnceWhenTheEntryIsThere) {
  ASSERT_TRUE(PutEntry(*store_, full_).ok());
  Answer answer;
  const auto id = Wait(kAcceptExact, answer);
  ExpectServed(answer, kExactVariant);
  EXPECT_FALSE(store_->CancelWait(id));
}

TEST_F(StoreWaitTest, IsAnsweredByAPutThatBeginsLater) {
  Answer answer;
  const auto id = Wait(kAcceptExact, answer);
  EXPECT_EQ(store_->Stats().waiters, 1);
  ASSERT_TRUE(PutEntry(*store_, full_).ok());
  ExpectServed(answer, kExactVariant);
  EXPECT_FALSE(store_->CancelWait(id));
  EXPECT_EQ(store_->StatsOf("tenant").hit_tokens, 100);
}

TEST_F(StoreWaitTest, CountsAMissWhereItEndsWithoutAnEntryAlone) {
  Answer served, cancelled, failed;
  Wait(kAcceptExact, served, 100);
  ASSERT_TRUE(PutEntry(*store_, full_).ok());
  Wait(kAcceptExact, served, 100);
  EXPECT_EQ(served.calls, 2);
  EXPECT_EQ(store_->StatsOf("tenant").hit_tokens, 200);
  EXPECT_EQ(store_->StatsOf("tenant").miss_tokens, 0);

  const AcceptRule compacted = AcceptVariant(compacted_.identity.variant);
  const auto id = Wait(compacted, cancelled, 30);
  EXPECT_EQ(store_->StatsOf("tenant").miss_tokens, 0);
  EXPECT_TRUE(store_->CancelWait(id));
  EXPECT_FALSE(store_->CancelWait(id));
  EXPECT_EQ(store_->StatsOf("tenant").miss_tokens, 30);

  const auto put = store_->BeginPut(compacted_.identity);
  Wait(compacted, failed, 7);
  store_->EndPut(put);
  EXPECT_EQ(failed.calls, 1);
  EXPECT_EQ(store_->StatsOf("tenant").miss_tokens, 37);
}

TEST_F(StoreWaitTest, IsAnsweredByAPutInProgress) {
  const auto other_put = store_->BeginPut(full_.identity);
  Answer answer;
  Wait(kAcceptExact, answer);
  EXPECT_EQ(answer.calls, 0);
  ASSERT_TRUE(PutEntry(*store_, full_).ok());
  ExpectServed(answer, kExactVariant);
  store_->EndPut(other_put);
  EXPECT_EQ(answer.calls, 1);
}

TEST_F(StoreWaitTest, IsAnsweredOnlyByWhatItAccepts) {
  Answer exact, variant, any;
  const auto exact_id = Wait(kAcceptExact, exact);
  Wait(AcceptVariant(compacted_.identity.variant), variant);
  Wait(kAcceptLeastLossy, any);
  ASSERT_TRUE(PutEntry(*store_, compacted_).ok());
  EXPECT_EQ(exact.calls, 0);
  ExpectServed(variant, compacted_.identity.variant);
  ExpectServed(any, compacted_.identity.variant);
  EXPECT_TRUE(store_->CancelWait(exact_id));
}

TEST_F(StoreWaitTest, ForExactIsAnsweredByAPutThatAGuardrailKeptFull) {
  Answer answer;
  Wait(kAcceptExact, answer);
  EntryRecipe recipe = Compacted(Prompt(0), 0.2);
  recipe.kept_full = true;
  ASSERT_TRUE(PutEntry(*store_, recipe).ok());
  ExpectServed(answer, compacted_.identity.variant);
}

TEST_F(StoreWaitTest, IsAbortedWhenTheLastPutItCouldTakeFails) {
  const auto first = store_->BeginPut(full_.identity);
  const auto second = store_->BeginPut(full_.identity);
  Answer answer;
  Wait(kAcceptExact, answer);
  store_->EndPut(first);
  EXPECT_EQ(answer.calls, 0);
  store_->EndPut(second);
  ASSERT_EQ(answer.calls, 1);
  EXPECT_THAT(answer.result, IsError(StatusCode::kAborted, "PUT_FAILED"));
}

TEST_F(StoreWaitTest, ForExactIsNotAbortedByAFailedPutOfAnotherVariant) {
  Answer exact, any;
  const auto id = Wait(kAcceptExact, exact);
  Wait(kAcceptLeastLossy, any);
  store_->EndPut(store_->BeginPut(compacted_.identity));
  EXPECT_EQ(exact.calls, 0);
  EXPECT_THAT(any.result, IsError(StatusCode::kAborted, "PUT_FAILED"));
  EXPECT_TRUE(store_->CancelWait(id));
}

TEST_F(StoreWaitTest, ForTheLeastLossyIsNotAbortedWhileAnyVariantIsInProgress) {
  Answer any;
  Wait(kAcceptLeastLossy, any);
  const auto full_put = store_->BeginPut(full_.identity);
  const auto compacted_put = store_->BeginPut(compacted_.identity);
  store_->EndPut(full_put);
  EXPECT_EQ(any.calls, 0);
  store_->EndPut(compacted_put);
  EXPECT_THAT(any.result, IsError(StatusCode::kAborted, "PUT_FAILED"));
}

TEST_F(StoreWaitTest, IsAbortedWhenTheCommitIsRefused) {
  Answer answer;
  Wait(kAcceptExact, answer);
  MadeEntry damaged = full_;
  damaged.body[3] ^= std::byte{1};
  EXPECT_FALSE(PutEntry(*store_, damaged).ok());
  EXPECT_THAT(answer.result, IsError(StatusCode::kAborted, "PUT_FAILED"));
}

TEST_F(StoreWaitTest, IsNotTouchedByPutsOfOtherPromptsOrTenants) {
  Answer answer;
  const auto id = Wait(kAcceptLeastLossy, answer);
  EntryRecipe other_tenant = Prompt(0);
  other_tenant.tenant = "other";
  Put(Prompt(5000));
  Put(other_tenant);
  store_->EndPut(store_->BeginPut(MakeEntry(other_tenant).identity));
  EXPECT_EQ(answer.calls, 0);
  EXPECT_TRUE(store_->CancelWait(id));
}

TEST_F(StoreWaitTest, IsNeverAnsweredAfterItWasCancelled) {
  Answer answer;
  const auto id = Wait(kAcceptExact, answer);
  EXPECT_TRUE(store_->CancelWait(id));
  EXPECT_FALSE(store_->CancelWait(id));
  ASSERT_TRUE(PutEntry(*store_, full_).ok());
  EXPECT_EQ(answer.calls, 0);
}

TEST_F(StoreWaitTest, MayCallTheStoreFromItsAnswer) {
  bool deleted = false;
  store_->Wait(PromptNameOf(full_.identity), kAcceptExact, [&](absl::StatusOr<EntryPtr> result) {
    ASSERT_TRUE(result.ok());
    deleted = store_->Delete(SelectorOf(*result)).ok();
  });
  ASSERT_TRUE(PutEntry(*store_, full_).ok());
  EXPECT_TRUE(deleted);
}

TEST_F(StoreWaitTest, AnswersAllWhoWait) {
  std::vector<Answer> answers(100);
  for (Answer& answer : answers) Wait(kAcceptExact, answer);
  ASSERT_TRUE(PutEntry(*store_, full_).ok());
  for (Answer& answer : answers) ExpectServed(answer, kExactVariant);
}

}  // namespace
}  // namespace chunkkv
