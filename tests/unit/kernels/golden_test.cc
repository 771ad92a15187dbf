// Every implementation against the vectors of tests/golden: those of the independent float64 oracle, and what the
// real kvpress kept.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "chunkkv/kernels/status.h"
#include "kernels/common/half.h"
#include "tests/unit/kernels/golden_case.h"
#include "tests/unit/kernels/implementations.h"
#include "tests/unit/kernels/near_ties.h"
#include "tests/unit/kernels/unit_in_last_place.h"

namespace chunkkv::testing {
namespace {

using nlohmann::json;

class CompactionVectorsTest : public PerImplementation {};
class KvpressVectorsTest : public PerImplementation {};
CHUNKKV_FOR_EACH_IMPLEMENTATION(CompactionVectorsTest);
CHUNKKV_FOR_EACH_IMPLEMENTATION(KvpressVectorsTest);

// The oracle's names of refusals that kernels name more precisely.
std::string ReasonOfKernels(const std::string& oracle_reason) {
  return oracle_reason == "NON_FINITE" ? "NON_FINITE_INPUT" : oracle_reason;
}

void ExpectScores(const json& expected, const CompactionOutcome& outcome, const Plan& plan,
                  const std::vector<LayerInput>& layers) {
  ASSERT_EQ(expected.size(), outcome.token_scores.size());
  size_t i = 0;
  for (const auto& [layer, scores] : outcome.token_scores) {
    const double tolerance = NearTieTolerance(plan, layer, layers[layer]);
    const auto& list = expected[i++];
    ASSERT_EQ(list.size(), scores.size());
    for (size_t j = 0; j < scores.size(); ++j) {
      const double score = list[j];
      EXPECT_NEAR(scores[j], score, tolerance * score + 1e-30) << "layer " << layer << " token " << j;
    }
  }
}

void ExpectMasses(const json& expected, const CompactionOutcome& outcome) {
  for (size_t layer = 0; layer < expected.size(); ++layer) {
    const auto found = outcome.retained_mass.find(static_cast<int32_t>(layer));
    ASSERT_EQ(expected[layer].is_null(), found == outcome.retained_mass.end()) << "layer " << layer;
    if (found == outcome.retained_mass.end()) continue;
    EXPECT_NEAR(found->second, expected[layer].get<double>(), 1e-4);
  }
}

void ExpectContiguousKeys(const Compactor& compactor, const Plan& plan, const GoldenCase& golden,
                          CompactionOutcome& outcome, const std::string& path) {
  const GoldenFile expected = ReadGoldenFile(path);
  const RopeShape& rope = *golden.rope;
  for (size_t layer = 0; layer < golden.layers.size(); ++layer) {
    RowsView rows = golden.layers[layer].keys;
    const std::vector<int32_t>& positions = outcome.positions[plan.GroupOf(static_cast<int32_t>(layer))];
    rows = TokenMajorRows(outcome.keys[layer].data(), rows.dtype, positions.size(), rows.head_count, rows.head_size);
    std::vector<std::byte> rotated(outcome.keys[layer].size());
    const RotateTask task{rows, positions, &rope, rotated.data()};
    Batch batch;
    batch.rotate = absl::MakeConstSpan(&task, 1);
    ExecutionContext context;
    ASSERT_TRUE(RunBatch(compactor, plan, batch, context).ok());
    const GoldenTensor& tensor = expected.tensors.at("layers." + std::to_string(layer) + ".k");
    const auto* truth = reinterpret_cast<const double*>(tensor.bytes.data());
    const int64_t elements = rows.token_count * rows.head_count * rows.head_size;
    ASSERT_EQ(tensor.bytes.size(), elements * sizeof(double));
    for (int64_t e = 0; e < elements; ++e) {
      const int64_t d = e % rows.head_size;
      const int64_t in_rope = d - rope.first_dim;
      if (in_rope < 0 || in_rope >= rope.rotary_dims) {
        EXPECT_EQ(LoadElement(rotated.data(), rows.dtype, e), truth[e]);
        continue;
      }
      const int64_t half = rope.rotary_dims / 2;
      const int64_t partner = rope.interleaved ? (in_rope % 2 == 0 ? 1 : -1) : (in_rope < half ? half : -half);
      const double larger = std::max(std::fabs(truth[e]), std::fabs(truth[e + partner]));
      EXPECT_NEAR(LoadElement(rotated.data(), rows.dtype, e), truth[e], UnitInLastPlace(rows.dtype, larger))
          << "layer " << layer << " element " << e;
    }
  }
}

TEST_P(CompactionVectorsTest, AgreeWithTheOracle) {
  const std::vector<std::string> stems = GoldenStems("compaction", ".expected.json");
  ASSERT_GE(stems.size(), 100u);
  for (const std::string& stem : stems) {
    SCOPED_TRACE(stem);
    const json expected = json::parse(ReadText(stem + ".expected.json"));
    const GoldenCase golden(stem + ".in.safetensors", expected["arguments"]);
    const auto plan = MakePlan(golden.spec, golden.shape);
    const std::string reason = expected.contains("error") ? ReasonOfKernels(expected["error"]) : "";
    if (!plan.ok()) {
      EXPECT_EQ(StatusReason(plan.status()), reason) << plan.status();
      continue;
    }
    CompactionOutcome outcome = Compact(compactor(), *plan, golden.layers);
    EXPECT_EQ(StatusReason(outcome.status), reason) << outcome.status;
    if (expected.contains("budget")) {
      EXPECT_EQ(outcome.budget, expected["budget"]);
      ExpectMasses(expected["retained_mass"], outcome);
    }
    if (!reason.empty() || !outcome.status.ok()) continue;
    EXPECT_EQ(std::string(PolicyName(outcome.policy_applied)), expected["policy_applied"]);
    EXPECT_EQ(outcome.positions, expected["positions"].get<std::vector<std::vector<int32_t>>>());
    EXPECT_THAT(outcome.jaccard,
                ::testing::Pointwise(::testing::DoubleNear(1e-9), expected["jaccard"].get<std::vector<double>>()));
    ExpectScores(expected["token_scores"], outcome, *plan, golden.layers);
    if (golden.rope.has_value()) {
      ExpectContiguousKeys(compactor(), *plan, golden, outcome, stem + ".contiguous.safetensors");
    }
  }
}

TEST_P(KvpressVectorsTest, KeepWhatKvpressKept) {
  const std::vector<std::string> stems = GoldenStems("kvpress", ".kept.safetensors");
  ASSERT_GE(stems.size(), 7u);
  for (const std::string& stem : stems) {
    SCOPED_TRACE(stem);
    const GoldenFile kept = ReadGoldenFile(stem + ".kept.safetensors");
    const GoldenCase golden(stem + ".in.safetensors", json::parse(kept.metadata.at("arguments")));
    const auto plan = MakePlan(golden.spec, golden.shape);
    ASSERT_TRUE(plan.ok()) << plan.status();
    const CompactionOutcome outcome = Compact(compactor(), *plan, golden.layers);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    for (size_t layer = 0; layer < golden.layers.size(); ++layer) {
      const GoldenTensor& tensor = kept.tensors.at("positions." + std::to_string(layer));
      const auto* positions = reinterpret_cast<const int32_t*>(tensor.bytes.data());
      EXPECT_THAT(outcome.positions[plan->GroupOf(static_cast<int32_t>(layer))],
                  ::testing::ElementsAreArray(positions, tensor.shape[0]));
    }
  }
}

}  // namespace
}  // namespace chunkkv::testing
