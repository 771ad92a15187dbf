// A put that ends early, at every step, leaves nothing behind.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>

#include "chunkkv/kernels/status.h"
#include "tests/support/store_at_rest.h"
#include "tests/unit/session/put_driver.h"

namespace chunkkv {
namespace {

void ExpectNothingLeft(PutDriver& driver) {
  EXPECT_EQ(driver.listener().call_count_after_end(), 0);
  driver.Settle();
  ExpectAtRest(driver.store());
  EXPECT_EQ(driver.store().Stats().used_bytes, 0);
  EXPECT_EQ(driver.store().Stats().entries, 0);
}

std::vector<PutRequest> EveryWay() {
  std::vector<PutRequest> requests;
  for (const Policy policy : {Policy::kChunkKv, Policy::kFull, Policy::kStreamingLlm}) {
    for (const PartOrder order : {PartOrder::kLayerMajor, PartOrder::kAny}) {
      PutRequest request = SmallRequest();
      request.spec.policy = policy;
      request.spec.reuse_group = 2;
      request.order = order;
      if (policy == Policy::kFull) request.spec.max_tokens.reset();
      requests.push_back(request);
    }
  }
  PutRequest keeping = SmallRequest();
  keeping.spec.min_retained_mass = 1.0;
  keeping.spec.on_low_mass = OnLowMass::kKeepFull;
  requests.push_back(keeping);
  PutRequest raising = SmallRequest();
  raising.spec.min_retained_mass = 0.9;
  raising.spec.on_low_mass = OnLowMass::kRaiseBudget;
  requests.push_back(raising);
  return requests;
}

TEST(PutAbortTest, LeavesNothingAtAnyStep) {
  for (const PutRequest& request : EveryWay()) {
    const Prompt prompt = MakePrompt(request);
    for (int steps = 0;; ++steps) {
      PutDriver driver;
      ASSERT_TRUE(driver.Begin(request).ok());
      int done = 0;
      bool finished = true;
      for (int32_t layer = 0; layer < 3 && finished; ++layer) {
        const std::function<absl::Status()> parts[] = {[&] { return driver.SendScores(prompt, layer); },
                                                       [&] { return driver.SendRows(prompt, layer, 0, 0, 50); },
                                                       [&] { return driver.SendRows(prompt, layer, 0, 50, 96); },
                                                       [&] { return driver.SendRows(prompt, layer, 1, 0, 96); }};
        for (const auto& part : parts) {
          if (done == steps) {
            finished = false;
            break;
          }
          ASSERT_TRUE(part().ok());
          ++done;
        }
      }
      driver.session().Abort(absl::CancelledError("the client is gone"));
      EXPECT_EQ(driver.listener().WaitForEnd().code(), absl::StatusCode::kCancelled);
      EXPECT_FALSE(driver.SendRows(prompt, 2, 1, 0, 96).ok());
      ExpectNothingLeft(driver);
      if (finished) break;
    }
  }
}

TEST(PutAbortTest, EndsOnceWhenAbortAndCommitMeet) {
  for (int round = 0; round < 50; ++round) {
    const PutRequest request = SmallRequest();
    const Prompt prompt = MakePrompt(request);
    PutDriver driver;
    ASSERT_TRUE(driver.Begin(request).ok());
    for (int32_t layer = 0; layer < 3; ++layer) ASSERT_TRUE(driver.SendLayer(prompt, layer).ok());
    std::thread aborter([&] { driver.session().Abort(absl::CancelledError("the client is gone")); });
    const absl::Status status = driver.CommitAndWait();
    aborter.join();
    EXPECT_EQ(driver.listener().call_count_after_end(), 0);
    driver.Settle();
    ExpectAtRest(driver.store());
    EXPECT_EQ(driver.store().Stats().entries, status.ok() ? 1 : 0);
  }
}

TEST(PutAbortTest, KeepsMemoryOfPartsThatAreBeingWritten) {
  for (const PutRequest& request : EveryWay()) {
    const Prompt prompt = MakePrompt(request);
    PutDriver driver;
    ASSERT_TRUE(driver.Begin(request).ok());
    auto rows = driver.session().PlacePart(0, RowsHeader(request, 0, 0, 0, 96), [] {});
    ASSERT_TRUE(rows.ok());
    driver.session().Abort(absl::CancelledError("the client is gone"));
    EXPECT_GT(driver.store().Stats().used_bytes, 0);
    for (const absl::Span<std::byte> piece : rows->pieces) std::memset(piece.data(), 1, piece.size());
    EXPECT_EQ(driver.session().FinishPart(rows->ticket, true).code(), absl::StatusCode::kCancelled);
    ExpectNothingLeft(driver);
  }
}

TEST(PutAbortTest, FreesItsMemoryOnTheExecutorBeforeOtherWork) {
  for (const PutRequest& request : EveryWay()) {
    const FakeClock clock;
    EntryStore store(StoreOptions(), clock);
    const auto compactor = MakeReferenceCompactor();
    RecordingListener listener;
    std::atomic<bool> is_busy{false};
    std::atomic<bool> may_go_on{false};
    int64_t left_bytes = -1;
    {
      Executor executor(1);
      const auto session =
          PutSession::Create(request, SessionLimits(), store, *compactor, executor, clock, &listener).value();
      ASSERT_TRUE(session->OpenStream().ok());
      const auto rows = session->PlacePart(0, RowsHeader(request, 0, 0, 0, 96), [] {});
      ASSERT_TRUE(rows.ok());
      executor.Post([&] {
        is_busy = true;
        is_busy.notify_all();
        may_go_on.wait(false);
      });
      is_busy.wait(false);
      executor.Post([&] { left_bytes = store.Stats().used_bytes; });
      ASSERT_TRUE(session->FinishPart(rows->ticket, true).ok());
      session->Abort(absl::CancelledError("the client is gone"));
      EXPECT_TRUE(listener.has_ended()) << "whatever the executor does";
      EXPECT_GT(store.Stats().used_bytes, 0) << "freed by the caller";
      may_go_on = true;
      may_go_on.notify_all();
    }
    EXPECT_LE(left_bytes, 4096) << "scratch, which goes in its turn";
    ExpectAtRest(store);
  }
}

TEST(PutAbortTest, WakesStreamsThatWait) {
  PutRequest request = SmallRequest();
  request.layout = {AttentionLayers(0, 8)};
  PutDriver driver;
  ASSERT_TRUE(driver.Begin(request).ok());
  while (driver.session().IsWorking()) std::this_thread::yield();  // else that thread may resume it
  int resumed = 0;
  ASSERT_TRUE(driver.session().PlacePart(0, RowsHeader(request, 5, 0, 0, 96), [&] { ++resumed; })->later);
  driver.session().Abort(absl::CancelledError("the client is gone"));
  EXPECT_EQ(resumed, 1);
  EXPECT_EQ(driver.session().PlacePart(0, RowsHeader(request, 5, 0, 0, 96), [] {}).status().code(),
            absl::StatusCode::kCancelled);
  ExpectNothingLeft(driver);
}

TEST(PutAbortTest, LeavesNothingWhenTheSessionIsDropped) {
  const PutRequest request = SmallRequest();
  const Prompt prompt = MakePrompt(request);
  PutDriver driver;
  ASSERT_TRUE(driver.Begin(request).ok());
  ASSERT_TRUE(driver.SendLayer(prompt, 0).ok());
  driver.Settle();
  EXPECT_FALSE(driver.listener().has_ended());
  ExpectAtRest(driver.store());
}

TEST(PutAbortTest, TellsWaitersThatThePutFailed) {
  const PutRequest request = SmallRequest();
  PutDriver driver;
  ASSERT_TRUE(driver.Begin(request).ok());
  PromptName name;
  name.tenant = request.tenant;
  name.fingerprint = Fingerprint(request.model);
  name.shard = request.shard;
  name.key = request.key;
  AcceptRule accept;
  accept.kind = AcceptRule::Kind::kLeastLossy;
  std::optional<absl::Status> waited;
  driver.store().Wait(name, accept, [&](absl::StatusOr<EntryPtr> entry) { waited = entry.status(); });
  EXPECT_FALSE(waited.has_value());
  driver.session().Abort(absl::CancelledError("the client is gone"));
  ASSERT_TRUE(waited.has_value());
  EXPECT_EQ(waited->code(), absl::StatusCode::kAborted);
  ExpectNothingLeft(driver);
}

// Scores for ever, unless it is cancelled.
class EndlessCompactor : public Compactor {
 public:
  explicit EndlessCompactor(std::atomic<bool>& scoring) : scoring_(scoring) {}
  std::string_view Name() const override { return "endless"; }
  size_t WorkspaceBytes(const Plan&, const Batch&) const override { return 64; }
  absl::Status Enqueue(const Plan&, const Batch&, absl::Span<std::byte>, ExecutionContext& context) const override {
    scoring_ = true;
    scoring_.notify_all();
    while (!context.cancelled()) std::this_thread::yield();
    context.status = absl::CancelledError("cancelled");
    return absl::OkStatus();
  }
  absl::Status Wait(ExecutionContext& context) const override { return context.status; }

 private:
  std::atomic<bool>& scoring_;
};

TEST(PutAbortTest, StopsCompactionThatIsRunning) {
  std::atomic<bool> scoring{false};
  const PutRequest request = SmallRequest();
  const Prompt prompt = MakePrompt(request);
  PutDriver driver(int64_t{64} << 20, SessionLimits(), std::make_unique<EndlessCompactor>(scoring));
  ASSERT_TRUE(driver.Begin(request).ok());
  ASSERT_TRUE(driver.SendLayer(prompt, 0).ok());
  scoring.wait(false);
  driver.session().Abort(absl::CancelledError("the client is gone"));
  EXPECT_EQ(driver.listener().WaitForEnd().message(), "the client is gone");
  ExpectNothingLeft(driver);
}

TEST(PutAbortTest, NeverHoldsMoreThanItReserved) {
  for (const PutRequest& request : EveryWay()) {
    const Prompt prompt = MakePrompt(request);
    PutDriver driver;
    ASSERT_TRUE(driver.Begin(request).ok());
    const int64_t reserved = driver.store().Stats().used_bytes;
    for (int32_t layer = 0; layer < 3; ++layer) {
      for (size_t tensor = 0; tensor < 2; ++tensor) {
        ASSERT_TRUE(driver.SendRows(prompt, layer, tensor, 0, 96).ok());
        EXPECT_LE(driver.store().Stats().used_bytes, reserved);
      }
      ASSERT_TRUE(driver.SendScores(prompt, layer).ok());
      EXPECT_LE(driver.store().Stats().used_bytes, reserved);
    }
    ASSERT_TRUE(driver.CommitAndWait().ok());
    driver.Settle();
    ExpectAtRest(driver.store());
  }
}

TEST(PutAbortTest, IsRefusedAtTheBeginningWhenItsWorstCaseDoesNotFit) {
  PutRequest request = SmallRequest();
  PutDriver driver(16 << 10);
  const absl::Status status = driver.Begin(request);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(StatusReason(status), "ENTRY_TOO_LARGE");
  ExpectAtRest(driver.store());
}

}  // namespace
}  // namespace chunkkv
