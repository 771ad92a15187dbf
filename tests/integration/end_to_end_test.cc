// Everything that can be put is got back, bit for bit, whatever the policy, the source of scores, the order and the
// way.
#include <gtest/gtest.h>

#include <functional>
#include <numeric>
#include <ostream>
#include <string>
#include <vector>

#include "service/rpc/wire_bytes.h"
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

class EndToEndTest : public testing::TestWithParam<Way> {};

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

TEST_P(EndToEndTest, GivesBackWhatWasKept) {
  PutRequest request = SmallRequest();
  GetParam().change(request);
  const Prompt prompt = MakePrompt(request);
  const std::vector<std::vector<int32_t>> kept = KeptOf(request, prompt);
  const bool is_external = request.spec.policy == Policy::kExternal;
  TestServer server;
  const PutResult put = PutAll(server.channel(), request, prompt, GetParam().part_tokens,
                               is_external ? kept : std::vector<std::vector<int32_t>>());
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
  const GotEntry got = GetAll(server.channel(), GetRequestOf(request));
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
    {"ChunkKvKeepsFullUnderAGuardrail",
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

INSTANTIATE_TEST_SUITE_P(Ways, EndToEndTest, testing::ValuesIn(kWays),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace chunkkv
