#include "service/session/score_recorder.h"

#include <gtest/gtest.h>

#include "service/session/put_session.h"
#include "service/store/entry_store.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/session/put_prompt.h"

namespace chunkkv {
namespace {

class ScoreRecorderTest : public testing::Test {
 protected:
  static RecordFilter FilterOf(const PutRequest& request) {
    return {request.tenant, Fingerprint(request.model), request.shard};
  }

  std::shared_ptr<ScoreRecording> Start(const PutRequest& request) {
    return recorder_.Start(FilterOf(request), [this] { ++wakes_; });
  }

  std::unique_ptr<PutScores> BeginPut(const PutRequest& request, EntryStore& store) {
    return recorder_.BeginPut(request, MakePutPlan(request, SessionLimits()).value(), store);
  }

  FakeClock clock_;
  EntryStore store_{StoreOptions(), clock_};
  ScoreRecorder recorder_;
  int wakes_ = 0;
};

TEST_F(ScoreRecorderTest, EveryListenerOfAPutGetsItsScores) {
  const PutRequest request = SmallRequest();
  const auto first = Start(request);
  const auto second = Start(request);
  const auto scores = BeginPut(request, store_);
  ASSERT_NE(scores, nullptr);
  const std::vector<float> sent(88, 0.5F);
  for (int32_t layer = 0; layer < 3; ++layer) scores->Add(layer, sent.data());
  EXPECT_EQ(first->Take(), nullptr) << "before it is committed";
  scores->Commit();
  const RecordedPutPtr put = first->Take();
  ASSERT_NE(put, nullptr);
  EXPECT_EQ(std::vector<float>(put->Layer(2).begin(), put->Layer(2).end()), sent);
  EXPECT_EQ(second->Take(), put);
  EXPECT_EQ(first->Take(), nullptr);
  EXPECT_EQ(wakes_, 2);
}

TEST_F(ScoreRecorderTest, NothingIsKeptForNobody) {
  PutRequest request = SmallRequest();
  EXPECT_EQ(BeginPut(request, store_), nullptr);
  Start(request);  // and let go of
  EXPECT_EQ(BeginPut(request, store_), nullptr);
  const auto recording = Start(request);
  request.tenant += "-b";
  EXPECT_EQ(BeginPut(request, store_), nullptr);
  request = SmallRequest();
  request.shard.tp_size = 2;
  EXPECT_EQ(BeginPut(request, store_), nullptr);
  EXPECT_EQ(recording->skipped(), ScoreRecording::Skipped()) << "they are none of its puts";
}

TEST_F(ScoreRecorderTest, AListenerThatIsFarBehindMissesPuts) {
  PutRequest request = SmallRequest();
  request.token_count = 4 << 20;  // 48 MiB of scores
  const auto recording = Start(request);
  for (int put = 0; put < 2; ++put) BeginPut(request, store_)->Commit();
  EXPECT_EQ(recording->skipped().no_room, 1);
  EXPECT_NE(recording->Take(), nullptr);
  BeginPut(request, store_)->Commit();
  EXPECT_EQ(recording->skipped().no_room, 1);
  EXPECT_NE(recording->Take(), nullptr);
}

TEST_F(ScoreRecorderTest, AFullStoreIsLeftAlone) {
  StoreOptions options;
  options.host_budget_bytes = options.max_entry_bytes = 4096;
  EntryStore small(options, clock_);
  BudgetShare everything;
  ASSERT_TRUE(small.TryReserve(4096, &everything));
  const PutRequest request = SmallRequest();
  const auto recording = Start(request);
  EXPECT_EQ(BeginPut(request, small), nullptr);
  EXPECT_EQ(recording->skipped().no_room, 1);
  everything.Release();
  EXPECT_NE(BeginPut(request, small), nullptr);
}

TEST_F(ScoreRecorderTest, PutsThatAreNotScoredAreCounted) {
  PutRequest request = SmallRequest();
  const auto recording = Start(request);
  request.spec.reuse_group = 2;
  EXPECT_EQ(BeginPut(request, store_), nullptr);
  request.spec.reuse_group.reset();
  request.spec.max_tokens = request.token_count;
  EXPECT_EQ(BeginPut(request, store_), nullptr);
  EXPECT_EQ(recording->skipped().unscored, 2);
  recorder_.NoteStored(request);
  EXPECT_EQ(recording->skipped().already_stored, 1);
}

}  // namespace
}  // namespace chunkkv
