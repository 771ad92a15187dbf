// Guardrails on the retained mass, in every order and way to send.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>

#include "chunkkv/kernels/status.h"
#include "tests/support/store_at_rest.h"
#include "tests/unit/session/put_driver.h"

namespace chunkkv {
namespace {

double LowestMass(const Kept& kept) {
  double lowest = 1;
  for (const double mass : kept.masses) {
    if (mass >= 0) lowest = std::min(lowest, mass);
  }
  return lowest;
}

// As SmallRequest, with a guardrail just above what the plain budget retains in its worst layer.
struct Guarded {
  PutRequest request = SmallRequest();
  Prompt prompt;
  Kept plain;
};

Guarded MakeGuarded(OnLowMass action, PartOrder order = PartOrder::kLayerMajor) {
  Guarded guarded;
  guarded.request.layout = {VerbatimLayers(0, 1), AttentionLayers(1, 5)};
  guarded.request.order = order;
  guarded.request.spec.reuse_group = 2;
  guarded.request.spec.max_tokens = 20;
  guarded.prompt = MakePrompt(guarded.request);
  guarded.plain = ReferenceKept(guarded.request, guarded.prompt);
  guarded.request.spec.min_retained_mass = LowestMass(guarded.plain) + 1e-6;
  guarded.request.spec.on_low_mass = action;
  return guarded;
}

std::vector<std::vector<int32_t>> Everything(const Guarded& guarded) {
  std::vector<int32_t> all(guarded.request.token_count);
  std::iota(all.begin(), all.end(), 0);
  return std::vector<std::vector<int32_t>>(guarded.plain.positions.size(), all);
}

TEST(PutGuardrailTest, FailsWithTheMassesAndStoresNothing) {
  for (const PartOrder order : {PartOrder::kLayerMajor, PartOrder::kAny}) {
    const Guarded guarded = MakeGuarded(OnLowMass::kFail, order);
    PutDriver driver;
    const absl::Status status = driver.Put(guarded.request, guarded.prompt, 31);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(StatusReason(status), "LOW_RETAINED_MASS");
    EXPECT_NE(std::string(status.message()).find("masses: 1: 0."), std::string::npos) << status;
    EXPECT_EQ(driver.listener().call_count_after_end(), 0);
    driver.Settle();
    ExpectAtRest(driver.store());
    EXPECT_EQ(driver.store().Stats().entries, 0);
  }
}

TEST(PutGuardrailTest, PassesWhenEnoughIsRetained) {
  for (const OnLowMass action : {OnLowMass::kFail, OnLowMass::kRaiseBudget, OnLowMass::kKeepFull}) {
    for (const PartOrder order : {PartOrder::kLayerMajor, PartOrder::kAny}) {
      Guarded guarded = MakeGuarded(action, order);
      guarded.request.spec.min_retained_mass = LowestMass(guarded.plain);
      PutDriver driver;
      ASSERT_TRUE(driver.Put(guarded.request, guarded.prompt, 31).ok());
      const EntryPtr entry = driver.listener().summary().entry;
      ExpectHolds(entry, guarded.request, guarded.prompt, guarded.plain.positions);
      EXPECT_FALSE(entry->header().outcome.raised_for_mass);
      EXPECT_FALSE(entry->header().outcome.kept_full_for_mass);
      EXPECT_EQ(entry->header().outcome.budget, 20);
    }
  }
}

TEST(PutGuardrailTest, KeepsEverythingUnderTheRequestedVariant) {
  for (const PartOrder order : {PartOrder::kLayerMajor, PartOrder::kAny}) {
    const Guarded guarded = MakeGuarded(OnLowMass::kKeepFull, order);
    PutDriver driver;
    ASSERT_TRUE(driver.Put(guarded.request, guarded.prompt, 31).ok());
    const EntryPtr entry = driver.listener().summary().entry;
    ExpectHolds(entry, guarded.request, guarded.prompt, Everything(guarded));
    const CompactionOutcome& outcome = entry->header().outcome;
    EXPECT_TRUE(outcome.kept_full_for_mass);
    EXPECT_EQ(outcome.policy_applied, Policy::kFull);
    EXPECT_EQ(outcome.budget, 96);
    EXPECT_EQ(entry->identity().variant, VariantOf(guarded.request.spec));
    ASSERT_EQ(outcome.retained_mass.size(), 3u);
    for (const LayerMass& mass : outcome.retained_mass) EXPECT_EQ(mass.mass, 1.0);
    EXPECT_TRUE(driver.listener().WaitForSelection(2)->everything);
  }
}

TEST(PutGuardrailTest, RaisesTheBudgetUntilEnoughIsRetained) {
  for (const PartOrder order : {PartOrder::kLayerMajor, PartOrder::kAny}) {
    Guarded guarded = MakeGuarded(OnLowMass::kRaiseBudget, order);
    const Kept once = ReferenceKept(guarded.request, guarded.prompt, 40);
    const Kept twice = ReferenceKept(guarded.request, guarded.prompt, 80);
    ASSERT_LT(LowestMass(once), LowestMass(twice));
    guarded.request.spec.min_retained_mass = LowestMass(twice);
    PutDriver driver;
    ASSERT_TRUE(driver.Put(guarded.request, guarded.prompt, 31).ok());
    const EntryPtr entry = driver.listener().summary().entry;
    ExpectHolds(entry, guarded.request, guarded.prompt, twice.positions);
    const CompactionOutcome& outcome = entry->header().outcome;
    EXPECT_TRUE(outcome.raised_for_mass);
    EXPECT_EQ(outcome.budget, 80);
    EXPECT_EQ(outcome.policy_applied, Policy::kChunkKv);
    for (const LayerMass& mass : outcome.retained_mass) {
      EXPECT_EQ(mass.mass, twice.masses[AttentionIndex(guarded.request.layout, mass.layer)]);
    }
  }
}

TEST(PutGuardrailTest, RaisesTheBudgetToThePrompt) {
  Guarded guarded = MakeGuarded(OnLowMass::kRaiseBudget);
  guarded.request.spec.min_retained_mass = 1.0;
  PutDriver driver;
  ASSERT_TRUE(driver.Put(guarded.request, guarded.prompt, 31).ok());
  const EntryPtr entry = driver.listener().summary().entry;
  ExpectHolds(entry, guarded.request, guarded.prompt, Everything(guarded));
  EXPECT_EQ(entry->header().outcome.policy_applied, Policy::kChunkKv);
  EXPECT_EQ(entry->header().outcome.budget, 96);
}

TEST(PutGuardrailTest, FailsWhenTheRaisedBudgetHasAnEnd) {
  Guarded guarded = MakeGuarded(OnLowMass::kRaiseBudget);
  guarded.request.spec.min_retained_mass = 1.0;
  guarded.request.spec.max_raised_tokens = 50;
  PutDriver driver;
  const absl::Status status = driver.Put(guarded.request, guarded.prompt, 31);
  EXPECT_EQ(StatusReason(status), "LOW_RETAINED_MASS");
  EXPECT_NE(std::string(status.message()).find("with 50 tokens"), std::string::npos) << status;
  driver.Settle();
  ExpectAtRest(driver.store());
}

TEST(PutGuardrailTest, DecidesBeforeRowsWhereTheyAreSentAfterTheSelection) {
  for (const OnLowMass action : {OnLowMass::kFail, OnLowMass::kRaiseBudget, OnLowMass::kKeepFull}) {
    PutRequest request = SmallRequest();
    request.send_mode = SendMode::kSelectThenSend;
    request.score_source = ScoreSource::kTokenScores;
    request.layout = {AttentionLayers(0, 3), VerbatimLayers(3, 1)};
    const Prompt prompt = MakePrompt(request);
    const Kept raised = ReferenceKept(request, prompt, 80);
    request.spec.min_retained_mass = LowestMass(raised);
    request.spec.on_low_mass = action;
    PutDriver driver;
    ASSERT_TRUE(driver.Begin(request).ok());
    for (int32_t layer = 0; layer < 3; ++layer) {
      // Under FAIL the first selection may already have ended the put.
      if (action != OnLowMass::kFail) {
        ASSERT_TRUE(driver.SendScores(prompt, layer).ok());
      } else if (!driver.SendScores(prompt, layer).ok()) {
        break;
      }
    }
    if (action == OnLowMass::kFail) {
      EXPECT_EQ(StatusReason(driver.listener().WaitForEnd()), "LOW_RETAINED_MASS");
      continue;
    }
    const bool everything = action == OnLowMass::kKeepFull;
    std::vector<std::vector<int32_t>> positions;
    for (int32_t group = 0; group < 3; ++group) {
      const auto selection = driver.listener().WaitForSelection(group);
      ASSERT_TRUE(selection.has_value());
      EXPECT_EQ(selection->everything, everything);
      positions.push_back(selection->positions);
      if (everything) {
        positions[group].resize(96);
        std::iota(positions[group].begin(), positions[group].end(), 0);
      } else {
        EXPECT_EQ(positions[group], raised.positions[group]);
      }
      for (size_t tensor = 0; tensor < 2; ++tensor) {
        ASSERT_TRUE(driver.SendKeptRows(prompt, group, tensor, positions[group], 0, positions[group].size()).ok());
      }
    }
    ASSERT_TRUE(driver.SendNamed(prompt, 3).ok());
    ASSERT_TRUE(driver.CommitAndWait().ok());
    ExpectHolds(driver.listener().summary().entry, request, prompt, positions);
  }
}

TEST(PutGuardrailTest, ReservesEverythingBeforeItDecides) {
  Guarded guarded = MakeGuarded(OnLowMass::kFail);
  PutDriver driver;
  ASSERT_TRUE(driver.Begin(guarded.request).ok());
  const int64_t reserved_to_fail = driver.store().Stats().used_bytes;
  guarded.request.spec.on_low_mass = OnLowMass::kKeepFull;
  PutDriver keeping;
  ASSERT_TRUE(keeping.Begin(guarded.request).ok());
  EXPECT_GT(keeping.store().Stats().used_bytes, reserved_to_fail / 2);
  EXPECT_GE(keeping.store().Stats().used_bytes, FullBytes(guarded.request.layout, 96));
}

}  // namespace
}  // namespace chunkkv
