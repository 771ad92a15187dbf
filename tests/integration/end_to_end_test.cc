// Everything that can be put is got back, bit for bit, whatever the policy, the source of scores, the order and the
// way.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

#include "service/rpc/wire_bytes.h"
#include "tests/support/carrier.h"
#include "tests/support/get_client.h"
#include "tests/support/put_client.h"
#include "tests/support/test_server.h"

namespace chunkkv {
namespace {

std::vector<int32_t> Everything(int64_t count) {
  std::vector<int32_t> positions(count);
  std::iota(positions.begin(), positions.end(), 0);
  return positions;
}

struct Way {
  const char* name;
  std::function<void(PutRequest&)> change;
  int64_t part_tokens = 7;
};

std::ostream& operator<<(std::ostream& out, const Way& way) { return out << way.name; }

class TransferConformanceTest : public testing::TestWithParam<std::tuple<CarrierKind, Way>> {
 protected:
  const CarrierKind& carrier_kind() const { return std::get<0>(GetParam()); }
  const Way& way() const { return std::get<1>(GetParam()); }
};

std::vector<std::vector<int32_t>> KeptOf(const PutRequest& request, const Prompt& prompt) {
  if (request.spec.policy == Policy::kExternal) {
    return {{0, 5, 9, 90}, {1, 2, 3, 4, 95}, {0, 94, 95}};
  }
  if (AttentionLayerCount(request.layout) == 0) return {};
  const Plan plan = PlanOfRequest(request);
  if (plan.KeepsEverything()) {
    return std::vector<std::vector<int32_t>>(plan.groups.size(), Everything(request.token_count));
  }
  return ReferenceKept(request, prompt).positions;
}

TEST_P(TransferConformanceTest, GivesBackWhatWasKept) {
  PutRequest request = SmallRequest();
  way().change(request);
  const Prompt prompt = MakePrompt(request);
  const std::vector<std::vector<int32_t>> kept = KeptOf(request, prompt);
  const bool is_external = request.spec.policy == Policy::kExternal;
  TestServer server(carrier_kind().options());
  const std::unique_ptr<Carrier> carrier = carrier_kind().make(server);
  const PutResult put = PutAll(server.channel(), request, prompt, way().part_tokens,
                               is_external ? kept : std::vector<std::vector<int32_t>>(), carrier.get());
  ASSERT_TRUE(put.end.ok()) << put.end;
  ASSERT_TRUE(put.committed.has_value());
  EXPECT_EQ(put.committed->durability(), v1::DURABILITY_MEMORY);
  if (!is_external && request.spec.policy != Policy::kFull) {
    ASSERT_EQ(put.selections.size(), kept.size());
    for (const auto& [group, selection] : put.selections) {
      if (selection.everything()) continue;
      EXPECT_EQ(std::vector<int32_t>(selection.positions().begin(), selection.positions().end()), kept[group]);
    }
  }
  const GotEntry got = carrier->Get(server.channel(), GetRequestOf(request), request);
  ExpectServed(got, request, prompt, kept);
  EXPECT_EQ(got.header.entry_id(), put.committed->entry_id());
  EXPECT_EQ(got.header.entry_digest(), put.committed->entry_digest());
  server.ExpectAtRest();
}

void Full(PutRequest& r) {
  r.spec = CompactionSpec();
  r.score_source = ScoreSource::kNone;
}

const Way kWays[] = {
    {"ChunkKvFromQueries", [](PutRequest&) {}},
    {"ChunkKvFromQueriesWithLse", [](PutRequest& r) { r.has_lse = true; }},
    {"ChunkKvFromAttention", [](PutRequest& r) { r.score_source = ScoreSource::kAttention; }},
    {"ChunkKvFromTokenScores", [](PutRequest& r) { r.score_source = ScoreSource::kTokenScores; }},
    {"ChunkKvAnyOrder", [](PutRequest& r) { r.order = PartOrder::kAny; }},
    {"ChunkKvGivenChunks",
     [](PutRequest& r) {
       r.spec.chunk_starts = {0, 3, 20, 33, 70};
     }},
    {"ChunkKvReuseGroups", [](PutRequest& r) { r.spec.reuse_group = 2; }},
    {"ChunkKvGroupSum",
     [](PutRequest& r) {
       r.spec.reuse_group = 3;
       r.spec.group_score = GroupScore::kSum;
     }},
    {"ChunkKvLeaderIsLast",
     [](PutRequest& r) {
       r.spec.groups = {{0, 3, 2}};
     }},
    {"ChunkKvBf16",
     [](PutRequest& r) {
       r.layout = {AttentionLayers(0, 3, SmallAttention(DType::kBF16))};
       r.score_dtype = DType::kBF16;
     }},
    {"ChunkKvF16HeadMajor",
     [](PutRequest& r) {
       r.layout = {AttentionLayers(0, 3, SmallAttention(DType::kF16))};
       r.layout[0].attention->head_major_parts = true;
     }},
    {"ChunkKvFp8FromTokenScores",
     [](PutRequest& r) {
       r.layout = {AttentionLayers(0, 3, SmallAttention(DType::kF8E4M3))};
       r.layout[0].attention->scales = ScaleShape{2, DType::kF32};
       r.score_source = ScoreSource::kTokenScores;
     }},
    {"ChunkKvWithoutValues", [](PutRequest& r) { r.layout[0].attention->value_head_size = 0; }},
    {"ChunkKvBesideVerbatimLayers",
     [](PutRequest& r) {
       r.layout = {VerbatimLayers(0, 1), AttentionLayers(1, 1), VerbatimLayers(2, 2), AttentionLayers(4, 2)};
       r.model.layer_count = r.shard.layer_count = 6;
     }},
    {"ChunkKvUnderAGuardrailThatDoesNotAct",
     [](PutRequest& r) {
       r.spec.min_retained_mass = 0.0;
       r.spec.on_low_mass = OnLowMass::kRaiseBudget;
     }},
    {"ChunkKvPromptShorterThanItsWindow",
     [](PutRequest& r) {
       r.spec.window_length = 200;
       r.spec.max_tokens = 300;
     }},
    {"SnapKv", [](PutRequest& r) { r.spec.policy = Policy::kSnapKv; }},
    {"H2o", [](PutRequest& r) { r.spec.policy = Policy::kH2o; }},
    {"StreamingLlm",
     [](PutRequest& r) {
       r.spec.policy = Policy::kStreamingLlm;
       r.score_source = ScoreSource::kNone;
     }},
    {"StreamingLlmAnyOrder",
     [](PutRequest& r) {
       r.spec.policy = Policy::kStreamingLlm;
       r.score_source = ScoreSource::kNone;
       r.order = PartOrder::kAny;
     }},
    {"Full", Full},
    {"FullAnyOrder",
     [](PutRequest& r) {
       Full(r);
       r.order = PartOrder::kAny;
     }},
    {"FullInOnePart", Full, 96},
    {"FullOfVerbatimLayers",
     [](PutRequest& r) {
       Full(r);
       r.layout = {VerbatimLayers(0, 3)};
     }},
    {"SelectFromTokenScores",
     [](PutRequest& r) {
       r.send_mode = SendMode::kSelectThenSend;
       r.score_source = ScoreSource::kTokenScores;
     }},
    {"SelectFromAttention",
     [](PutRequest& r) {
       r.send_mode = SendMode::kSelectThenSend;
       r.score_source = ScoreSource::kAttention;
       r.spec.policy = Policy::kSnapKv;
     }},
    {"SelectStreamingLlm",
     [](PutRequest& r) {
       r.send_mode = SendMode::kSelectThenSend;
       r.spec.policy = Policy::kStreamingLlm;
       r.score_source = ScoreSource::kNone;
     }},
    {"SelectWhereEverythingIsKept",
     [](PutRequest& r) {
       r.send_mode = SendMode::kSelectThenSend;
       r.score_source = ScoreSource::kTokenScores;
       r.spec.max_tokens = 96;
     }},
    {"External",
     [](PutRequest& r) {
       r.spec = CompactionSpec();
       r.spec.policy = Policy::kExternal;
       r.spec.label = std::string("by hand");
       r.score_source = ScoreSource::kNone;
       r.group_row_counts = {4, 5, 3};
     }},
};

bool Changed(const v1::CompactionResult& result, v1::CompactionResult::BudgetChange change) {
  return std::find(result.changes().begin(), result.changes().end(), change) != result.changes().end();
}

TEST(GuardrailTest, KeptFullUnderTheRequestedVariantIsExact) {
  TestServer server;
  PutRequest request = SmallRequest();
  request.spec.min_retained_mass = 1.0;
  request.spec.on_low_mass = OnLowMass::kKeepFull;
  const Prompt prompt = MakePrompt(request);
  const PutResult put = PutAll(server.channel(), request, prompt, 7);
  ASSERT_TRUE(put.committed.has_value()) << put.end;
  const std::string variant = rpc::ToString(VariantOf(request.spec));
  EXPECT_EQ(put.committed->variant(), variant);
  EXPECT_EQ(put.committed->compaction().policy_applied(), v1::POLICY_FULL);
  EXPECT_TRUE(Changed(put.committed->compaction(), v1::CompactionResult::KEPT_FULL_FOR_MASS));
  for (const auto& [group, selection] : put.selections) EXPECT_TRUE(selection.everything()) << group;

  const std::vector<std::vector<int32_t>> everything(3, Everything(96));
  v1::GetCacheRequest by_variant = GetRequestOf(request);
  by_variant.mutable_accept()->set_variant(variant);
  v1::GetCacheRequest exact = GetRequestOf(request);
  exact.mutable_accept()->set_exact(true);
  v1::GetCacheRequest by_default = GetRequestOf(request);
  by_default.clear_accept();
  for (const v1::GetCacheRequest& get : {by_variant, exact, by_default}) {
    const GotEntry got = GetAll(server.channel(), get);
    ExpectServed(got, request, prompt, everything);
    EXPECT_EQ(got.header.variant(), variant);
    EXPECT_EQ(got.header.policy_applied(), v1::POLICY_FULL);
    EXPECT_EQ(got.header.spec().policy(), v1::POLICY_CHUNK_KV);
  }
  server.ExpectAtRest();
}

TEST(GuardrailTest, ABudgetIsRaisedUntilTheMassIsKept) {
  TestServer server;
  PutRequest request = SmallRequest();
  request.spec.max_tokens = 12;
  const Prompt prompt = MakePrompt(request);
  const auto least_mass = [&](int64_t budget) {
    const std::vector<double> masses = ReferenceKept(request, prompt, budget).masses;
    return *std::min_element(masses.begin(), masses.end());
  };
  // More than twice the budget keeps, and not more than four times keeps.
  const double mass = (least_mass(24) + least_mass(48)) / 2;
  request.spec.min_retained_mass = mass;
  request.spec.on_low_mass = OnLowMass::kRaiseBudget;
  ASSERT_LT(least_mass(24), mass);
  ASSERT_LT(mass, least_mass(48));

  const PutResult put = PutAll(server.channel(), request, prompt, 7);
  ASSERT_TRUE(put.committed.has_value()) << put.end;
  const v1::CompactionResult& compaction = put.committed->compaction();
  EXPECT_EQ(put.begun->budget(), 12);
  EXPECT_EQ(compaction.budget(), 48);
  EXPECT_EQ(compaction.policy_applied(), v1::POLICY_CHUNK_KV);
  EXPECT_TRUE(Changed(compaction, v1::CompactionResult::RAISED_FOR_MASS));
  for (const auto& layer : compaction.retained_mass()) EXPECT_GE(layer.mass(), mass);
  ExpectServed(GetAll(server.channel(), GetRequestOf(request)), request, prompt,
               ReferenceKept(request, prompt, 48).positions);
  // It is lossy all the same.
  v1::GetCacheRequest exact = GetRequestOf(request);
  exact.mutable_accept()->set_exact(true);
  EXPECT_EQ(GetAll(server.channel(), exact).end.reason, "ENTRY_NOT_FOUND");
  server.ExpectAtRest();
}

INSTANTIATE_TEST_SUITE_P(Ways, TransferConformanceTest,
                         testing::Combine(testing::ValuesIn(AllCarriers()), testing::ValuesIn(kWays)),
                         [](const auto& info) { return std::get<0>(info.param).name + std::get<1>(info.param).name; });

}  // namespace
}  // namespace chunkkv
