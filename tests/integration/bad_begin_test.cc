// What a wrong Begin gets, through the real stack.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "service/format/prompt_key.h"
#include "service/rpc/wire_bytes.h"
#include "tests/integration/bad_input.h"
#include "tests/support/put_client.h"

namespace chunkkv {
namespace {

class BadBeginTest : public testing::TestWithParam<BadInput> {};

TEST_P(BadBeginTest, IsRefusedByName) { ExpectRefused(GetParam()); }

// Begins with a request that `spoil` has changed.
std::function<RpcEnd(TestServer&)> Spoiled(std::function<void(v1::Begin&)> spoil) {
  return [spoil = std::move(spoil)](TestServer& server) {
    v1::Begin begin = BeginOf(SmallRequest());
    spoil(begin);
    PutClient client(server.channel());
    EXPECT_FALSE(client.Begin(begin).has_value());
    return client.Finish();
  };
}

v1::AttentionRun& Attention(v1::Begin& begin) { return *begin.mutable_layout(0)->mutable_attention(); }

void AddVerbatim(v1::Begin& begin, const std::string& name, int64_t size_bytes) {
  v1::LayerRun* run = begin.add_layout();
  run->set_first_layer(3);
  run->set_layer_count(1);
  auto* tensor = run->mutable_verbatim()->add_tensors();
  tensor->set_name(name);
  tensor->set_size_bytes(size_bytes);
}

void AddRun(v1::Begin& begin, int32_t first_layer) {
  const v1::LayerRun copy = begin.layout(0);
  *begin.add_layout() = copy;
  begin.mutable_layout(1)->set_first_layer(first_layer);
}

void External(v1::Begin& begin) {
  begin.clear_spec();
  begin.mutable_spec()->set_policy(v1::POLICY_EXTERNAL);
  begin.mutable_spec()->set_label("by hand");
  begin.clear_scores();
  for (int i = 0; i < 3; ++i) begin.add_group_row_counts(4);
}

void SetChunkStarts(v1::Begin& begin, const std::vector<int32_t>& starts) {
  begin.mutable_spec()->mutable_chunk_starts()->Assign(starts.begin(), starts.end());
}

void SetTokens(v1::Begin& begin, int count) {
  begin.mutable_prompt()->clear_key();
  for (int token = 0; token < count; ++token) begin.mutable_prompt()->add_tokens(token);
}

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
constexpr double kInf = std::numeric_limits<double>::infinity();

const BadInput kShapes[] = {
    {"NoLayout", kInvalid, "EMPTY_LAYOUT", Spoiled([](auto& b) { b.clear_layout(); })},
    {"RunsOutOfOrder", kInvalid, "BAD_LAYER_RUNS", Spoiled([](auto& b) {
       AddRun(b, 0);
       b.mutable_layout(0)->set_first_layer(3);
     })},
    {"RunsOverlapping", kInvalid, "BAD_LAYER_RUNS", Spoiled([](auto& b) { AddRun(b, 2); })},
    {"RunsWithAGap", kInvalid, "BAD_LAYER_RUNS", Spoiled([](auto& b) { AddRun(b, 4); })},
    {"RunOfNoKind", kInvalid, "LAYER_KIND_UNSET", Spoiled([](auto& b) { b.mutable_layout(0)->clear_kind(); })},
    {"LayersZero", kInvalid, "BAD_LAYER_RUNS", Spoiled([](auto& b) { b.mutable_layout(0)->set_layer_count(0); })},
    {"LayersNegative", kInvalid, "BAD_LAYER_RUNS", Spoiled([](auto& b) { b.mutable_layout(0)->set_layer_count(-3); })},
    {"LayersAboveCap", kInvalid, "BAD_LAYER_RUNS",
     Spoiled([](auto& b) { b.mutable_layout(0)->set_layer_count(1 << 30); })},
    {"HeadsZero", kInvalid, "BAD_DIMENSION", Spoiled([](auto& b) { Attention(b).set_kv_head_count(0); })},
    {"HeadsNegative", kInvalid, "BAD_DIMENSION", Spoiled([](auto& b) { Attention(b).set_kv_head_count(-2); })},
    {"HeadsAboveCap", kInvalid, "BAD_DIMENSION", Spoiled([](auto& b) { Attention(b).set_kv_head_count(1 << 20); })},
    {"HeadSizeZero", kInvalid, "BAD_DIMENSION", Spoiled([](auto& b) { Attention(b).set_key_head_size(0); })},
    {"HeadSizeNegative", kInvalid, "BAD_DIMENSION", Spoiled([](auto& b) { Attention(b).set_key_head_size(-8); })},
    {"HeadSizeAboveCap", kInvalid, "BAD_DIMENSION", Spoiled([](auto& b) { Attention(b).set_key_head_size(1 << 20); })},
    {"ValueHeadSizeNegative", kInvalid, "BAD_DIMENSION",
     Spoiled([](auto& b) { Attention(b).set_value_head_size(-1); })},
    {"ValueHeadSizeAboveCap", kInvalid, "BAD_DIMENSION",
     Spoiled([](auto& b) { Attention(b).set_value_head_size(1 << 20); })},
    {"QueryHeadsNegative", kInvalid, "BAD_DIMENSION", Spoiled([](auto& b) { Attention(b).set_query_head_count(-4); })},
    {"QueryHeadsAboveCap", kInvalid, "BAD_DIMENSION",
     Spoiled([](auto& b) { Attention(b).set_query_head_count(1 << 20); })},
    {"QueryHeadsNoMultiple", kInvalid, "BAD_HEADS", Spoiled([](auto& b) { Attention(b).set_query_head_count(3); })},
    {"TensorSizeOverflows", kInvalid, "SIZE_OVERFLOW", Spoiled([](auto& b) { AddVerbatim(b, "state", kHuge); })},
    {"TensorSizesOverflowTogether", kInvalid, "SIZE_OVERFLOW", Spoiled([](auto& b) {
       AddVerbatim(b, "state", kHuge / 2);
       *b.mutable_layout(1)->mutable_verbatim()->add_tensors() = b.layout(1).verbatim().tensors(0);
       b.mutable_layout(1)->mutable_verbatim()->mutable_tensors(1)->set_name("more");
     })},
    {"TensorSizeNegative", kInvalid, "BAD_DIMENSION", Spoiled([](auto& b) { AddVerbatim(b, "state", -8); })},
    {"TensorSizeZero", kInvalid, "BAD_DIMENSION", Spoiled([](auto& b) { AddVerbatim(b, "state", 0); })},
    {"TensorNameIsAPath", kInvalid, "BAD_TENSOR_NAME", Spoiled([](auto& b) { AddVerbatim(b, "../state", 8); })},
    {"TensorNameIsTaken", kInvalid, "BAD_TENSOR_NAME", Spoiled([](auto& b) { AddVerbatim(b, "k", 8); })},
    {"TensorNameIsTwice", kInvalid, "BAD_TENSOR_NAME", Spoiled([](auto& b) {
       AddVerbatim(b, "state", 8);
       *b.mutable_layout(1)->mutable_verbatim()->add_tensors() = b.layout(1).verbatim().tensors(0);
     })},
    {"TensorNameEmpty", kInvalid, "BAD_TENSOR_NAME", Spoiled([](auto& b) { AddVerbatim(b, "", 8); })},
    {"TensorNameTooLong", kInvalid, "BAD_TENSOR_NAME",
     Spoiled([](auto& b) { AddVerbatim(b, std::string(65, 's'), 8); })},
    {"TokensZero", kInvalid, "BAD_TOKEN_COUNT", Spoiled([](auto& b) { b.set_token_count(0); })},
    {"TokensNegative", kInvalid, "BAD_TOKEN_COUNT", Spoiled([](auto& b) { b.set_token_count(-96); })},
    {"TokensAboveCap", kInvalid, "BAD_TOKEN_COUNT", Spoiled([](auto& b) { b.set_token_count(kHuge); })},
    {"EntryTooLarge", kExhausted, "ENTRY_TOO_LARGE", Spoiled([](auto& b) { b.set_token_count(1 << 23); })},
    {"ChunkLengthZero", kInvalid, "BAD_CHUNK_LENGTH", Spoiled([](auto& b) { b.mutable_spec()->set_chunk_length(0); })},
    {"ChunkLengthNegative", kInvalid, "BAD_CHUNK_LENGTH",
     Spoiled([](auto& b) { b.mutable_spec()->set_chunk_length(-5); })},
    {"ChunkLengthAboveCap", kInvalid, "BAD_CHUNK_LENGTH",
     Spoiled([](auto& b) { b.mutable_spec()->set_chunk_length(4097); })},
    {"ChunkStartsUnsorted", kInvalid, "BAD_CHUNK_STARTS", Spoiled([](auto& b) {
       SetChunkStarts(b, {0, 20, 10});
     })},
    {"ChunkStartsRepeated", kInvalid, "BAD_CHUNK_STARTS", Spoiled([](auto& b) {
       SetChunkStarts(b, {0, 20, 20});
     })},
    {"ChunkStartsNotAtTheSinks", kInvalid, "BAD_CHUNK_STARTS", Spoiled([](auto& b) {
       SetChunkStarts(b, {1, 20});
     })},
    {"ChunkStartsNegative", kInvalid, "BAD_CHUNK_STARTS", Spoiled([](auto& b) {
       SetChunkStarts(b, {-1, 20});
     })},
    {"ChunkStartsPastTheEnd", kInvalid, "BAD_CHUNK_STARTS", Spoiled([](auto& b) {
       SetChunkStarts(b, {0, 96});
     })},
    {"WindowZero", kInvalid, "BAD_WINDOW_LENGTH", Spoiled([](auto& b) { b.mutable_spec()->set_window_length(0); })},
    {"WindowNegative", kInvalid, "BAD_WINDOW_LENGTH",
     Spoiled([](auto& b) { b.mutable_spec()->set_window_length(-8); })},
    {"WindowAboveCap", kInvalid, "BAD_WINDOW_LENGTH",
     Spoiled([](auto& b) { b.mutable_spec()->set_window_length(4097); })},
    {"BlockSizeOfTokens", kInvalid, "BAD_BLOCK_SIZE", Spoiled([](auto& b) {
       SetTokens(b, 96);
       b.mutable_prompt()->set_block_size(32);
     })},
    {"BlockSizeNegative", kInvalid, "BAD_BLOCK_SIZE", Spoiled([](auto& b) {
       b.mutable_prompt()->add_block_digests(std::string(32, 'd'));
       b.mutable_prompt()->set_block_size(-1);
     })},
    {"BlockSizeAboveCap", kInvalid, "BAD_BLOCK_SIZE", Spoiled([](auto& b) {
       b.mutable_prompt()->add_block_digests(std::string(32, 'd'));
       b.mutable_prompt()->set_block_size(4097);
     })},
    {"BlockDigestShort", kInvalid, "BAD_BLOCK_DIGEST",
     Spoiled([](auto& b) { b.mutable_prompt()->add_block_digests("short"); })},
    {"BlockDigestLong", kInvalid, "BAD_BLOCK_DIGEST",
     Spoiled([](auto& b) { b.mutable_prompt()->add_block_digests(std::string(33, 'd')); })},
    {"BlockExtraForSomeBlocks", kInvalid, "BAD_BLOCK_EXTRA", Spoiled([](auto& b) {
       SetTokens(b, 96);
       b.mutable_prompt()->add_block_extra("image");
     })},
    {"TokensOfAnotherLength", kInvalid, "BAD_PROMPT_LENGTH", Spoiled([](auto& b) { SetTokens(b, 95); })},
    {"DigestsOfAnotherLength", kInvalid, "BAD_PROMPT_LENGTH", Spoiled([](auto& b) {
       b.mutable_prompt()->clear_key();
       b.mutable_prompt()->add_block_digests(std::string(32, 'd'));
       b.mutable_prompt()->set_token_count(65);
     })},
};
INSTANTIATE_TEST_SUITE_P(Shapes, BadBeginTest, testing::ValuesIn(kShapes), NameOfRow);

const BadInput kNumbers[] = {
    {"DTypeUnset", kInvalid, "BAD_DTYPE", Spoiled([](auto& b) { Attention(b).clear_dtype(); })},
    {"DTypeUnknown", kInvalid, "BAD_DTYPE",
     Spoiled([](auto& b) { Attention(b).set_dtype(static_cast<v1::DType>(77)); })},
    {"ValueDTypeUnknown", kInvalid, "BAD_DTYPE",
     Spoiled([](auto& b) { Attention(b).set_value_dtype(static_cast<v1::DType>(-1)); })},
    {"ScoreDTypeUnset", kInvalid, "BAD_DTYPE", Spoiled([](auto& b) { b.mutable_scores()->clear_dtype(); })},
    {"ScoreDTypeFp8", kInvalid, "BAD_SCORE_DTYPE",
     Spoiled([](auto& b) { b.mutable_scores()->set_dtype(v1::DTYPE_F8_E5M2); })},
    {"Fp8WithoutScales", kInvalid, "SCALES_MISSING",
     Spoiled([](auto& b) { Attention(b).set_dtype(v1::DTYPE_F8_E4M3); })},
    {"ScalesOfNoDType", kInvalid, "BAD_DTYPE",
     Spoiled([](auto& b) { Attention(b).mutable_scales()->set_scales_per_head(1); })},
    {"ScaleNan", kInvalid, "BAD_SCALE", Spoiled([](auto& b) { Attention(b).set_scale(std::nan("")); })},
    {"ScaleInf", kInvalid, "BAD_SCALE", Spoiled([](auto& b) { Attention(b).set_scale(kInf); })},
    {"SoftcapNegative", kInvalid, "BAD_SOFTCAP", Spoiled([](auto& b) { Attention(b).set_softcap(-1); })},
    {"SoftcapNan", kInvalid, "BAD_SOFTCAP", Spoiled([](auto& b) { Attention(b).set_softcap(std::nan("")); })},
    {"SinkLogitsForSomeHeads", kInvalid, "BAD_SINK_LOGITS", Spoiled([](auto& b) { Attention(b).add_sink_logits(1); })},
    {"SinkLogitNan", kInvalid, "BAD_SINK_LOGITS", Spoiled([](auto& b) {
       for (int head = 0; head < 4; ++head) Attention(b).add_sink_logits(std::nanf(""));
     })},
    {"RopeOfNoPairing", kInvalid, "BAD_ROPE",
     Spoiled([](auto& b) { Attention(b).mutable_rope()->set_rotary_dims(4); })},
    {"RopeOfAnUnknownPairing", kInvalid, "BAD_ROPE", Spoiled([](auto& b) {
       Attention(b).mutable_rope()->set_rotary_dims(2);
       Attention(b).mutable_rope()->set_pairing(static_cast<v1::Rope::Pairing>(9));
       Attention(b).mutable_rope()->add_inv_freq(1);
     })},
    {"RopeDimsOdd", kInvalid, "BAD_ROPE", Spoiled([](auto& b) {
       Attention(b).mutable_rope()->set_pairing(v1::Rope::HALF);
       Attention(b).mutable_rope()->set_rotary_dims(3);
     })},
    {"RopeFrequencyNan", kInvalid, "BAD_ROPE", Spoiled([](auto& b) {
       Attention(b).mutable_rope()->set_pairing(v1::Rope::HALF);
       Attention(b).mutable_rope()->set_rotary_dims(2);
       Attention(b).mutable_rope()->add_inv_freq(std::nan(""));
     })},
    {"RopePastTheHead", kInvalid, "BAD_ROPE", Spoiled([](auto& b) {
       Attention(b).mutable_rope()->set_pairing(v1::Rope::HALF);
       Attention(b).mutable_rope()->set_first_dim(7);
       Attention(b).mutable_rope()->set_rotary_dims(2);
       Attention(b).mutable_rope()->add_inv_freq(1);
     })},
    {"KeepRatioNan", kInvalid, "BAD_KEEP_RATIO", Spoiled([](auto& b) {
       b.mutable_spec()->clear_max_tokens();
       b.mutable_spec()->set_keep_ratio(std::nan(""));
     })},
    {"KeepRatioZero", kInvalid, "BAD_KEEP_RATIO", Spoiled([](auto& b) {
       b.mutable_spec()->clear_max_tokens();
       b.mutable_spec()->set_keep_ratio(0);
     })},
    {"KeepRatioNegative", kInvalid, "BAD_KEEP_RATIO", Spoiled([](auto& b) {
       b.mutable_spec()->clear_max_tokens();
       b.mutable_spec()->set_keep_ratio(-0.5);
     })},
    {"KeepRatioAboveOne", kInvalid, "BAD_KEEP_RATIO", Spoiled([](auto& b) {
       b.mutable_spec()->clear_max_tokens();
       b.mutable_spec()->set_keep_ratio(1.01);
     })},
    {"BudgetTwice", kInvalid, "BUDGET_AMBIGUOUS", Spoiled([](auto& b) { b.mutable_spec()->set_keep_ratio(0.5); })},
    {"BudgetMissing", kInvalid, "BUDGET_MISSING", Spoiled([](auto& b) { b.mutable_spec()->clear_max_tokens(); })},
    {"BudgetNegative", kInvalid, "BAD_MAX_TOKENS", Spoiled([](auto& b) { b.mutable_spec()->set_max_tokens(-40); })},
    {"MaxTokensOfExternal", kInvalid, "BUDGET_NOT_ALLOWED", Spoiled([](auto& b) {
       External(b);
       b.mutable_spec()->set_max_tokens(40);
     })},
    {"BudgetOfFull", kInvalid, "BUDGET_NOT_ALLOWED",
     Spoiled([](auto& b) { b.mutable_spec()->set_policy(v1::POLICY_FULL); })},
    {"BudgetOfExternal", kInvalid, "BUDGET_NOT_ALLOWED", Spoiled([](auto& b) {
       External(b);
       b.mutable_spec()->set_keep_ratio(0.5);
     })},
    {"BudgetBelowWindow", kInvalid, "BUDGET_BELOW_WINDOW",
     Spoiled([](auto& b) { b.mutable_spec()->set_max_tokens(7); })},
    {"BudgetBelowWindowAndSinks", kInvalid, "BUDGET_BELOW_WINDOW", Spoiled([](auto& b) {
       b.mutable_spec()->set_sink_tokens(4);
       b.mutable_spec()->set_max_tokens(11);
     })},
    {"PoolEven", kInvalid, "BAD_POOL", Spoiled([](auto& b) { b.mutable_spec()->set_pool(2); })},
    {"PoolZero", kInvalid, "BAD_POOL", Spoiled([](auto& b) { b.mutable_spec()->set_pool(0); })},
    {"PoolNegative", kInvalid, "BAD_POOL", Spoiled([](auto& b) { b.mutable_spec()->set_pool(-1); })},
    {"MassAboveOne", kInvalid, "BAD_MIN_RETAINED_MASS",
     Spoiled([](auto& b) { b.mutable_spec()->set_min_retained_mass(1.5); })},
    {"MassNegative", kInvalid, "BAD_MIN_RETAINED_MASS",
     Spoiled([](auto& b) { b.mutable_spec()->set_min_retained_mass(-0.1); })},
    {"MassNan", kInvalid, "BAD_MIN_RETAINED_MASS",
     Spoiled([](auto& b) { b.mutable_spec()->set_min_retained_mass(std::nan("")); })},
    {"RecentRatioAboveOne", kInvalid, "BAD_RECENT_RATIO",
     Spoiled([](auto& b) { b.mutable_spec()->set_recent_ratio(2); })},
    {"RecentRatioNegative", kInvalid, "BAD_RECENT_RATIO",
     Spoiled([](auto& b) { b.mutable_spec()->set_recent_ratio(-0.5); })},
    {"RecentRatioNan", kInvalid, "BAD_RECENT_RATIO",
     Spoiled([](auto& b) { b.mutable_spec()->set_recent_ratio(std::nan("")); })},
    {"BudgetMultipleZero", kInvalid, "BAD_BUDGET_MULTIPLE",
     Spoiled([](auto& b) { b.mutable_spec()->set_budget_multiple(0); })},
    {"BudgetMultipleNegative", kInvalid, "BAD_BUDGET_MULTIPLE",
     Spoiled([](auto& b) { b.mutable_spec()->set_budget_multiple(-16); })},
    {"SinksNegative", kInvalid, "BAD_SINK_TOKENS", Spoiled([](auto& b) { b.mutable_spec()->set_sink_tokens(-1); })},
    {"ReuseGroupZero", kInvalid, "BAD_REUSE_GROUP", Spoiled([](auto& b) { b.mutable_spec()->set_reuse_group(0); })},
    {"TtlNegative", kInvalid, "BAD_TTL", Spoiled([](auto& b) { b.set_ttl_ms(-1); })},
    {"TtlOverflowing", kInvalid, "BAD_TTL", Spoiled([](auto& b) { b.set_ttl_ms(kHuge); })},
    {"PinNegative", kInvalid, "BAD_PIN", Spoiled([](auto& b) { b.set_pin_ms(-1); })},
    {"PinTooLong", kInvalid, "PIN_TOO_LONG", Spoiled([](auto& b) { b.set_pin_ms(kHuge); })},
    {"NextPositionNegative", kInvalid, "BAD_NEXT_POSITION", Spoiled([](auto& b) { b.set_next_position(-1); })},
};
INSTANTIATE_TEST_SUITE_P(Numbers, BadBeginTest, testing::ValuesIn(kNumbers), NameOfRow);

const BadInput kCombinations[] = {
    {"LeaderOutsideItsGroup", kInvalid, "BAD_LEADER", Spoiled([](auto& b) {
       v1::ReuseGroup* group = b.mutable_spec()->add_groups();
       group->set_layer_count(3);
       group->set_leader(3);
     })},
    {"LeaderNegative", kInvalid, "BAD_GROUPS", Spoiled([](auto& b) {
       v1::ReuseGroup* group = b.mutable_spec()->add_groups();
       group->set_layer_count(3);
       group->set_leader(-1);
     })},
    {"GroupsWithAGap", kInvalid, "BAD_GROUPS", Spoiled([](auto& b) {
       v1::ReuseGroup* group = b.mutable_spec()->add_groups();
       group->set_layer_count(2);
       group->set_leader(0);
     })},
    {"MassWithoutScores", kInvalid, "MASS_WITHOUT_SCORES", Spoiled([](auto& b) {
       b.mutable_spec()->set_policy(v1::POLICY_STREAMING_LLM);
       b.mutable_spec()->set_min_retained_mass(0.5);
     })},
    {"GuardrailWhereSharded", kInvalid, "GUARDRAIL_SHARDED", Spoiled([](auto& b) {
       b.mutable_shard()->set_tp_size(2);
       b.mutable_spec()->set_min_retained_mass(0.5);
       b.mutable_spec()->set_on_low_mass(v1::ON_LOW_MASS_KEEP_FULL);
     })},
    {"RaisedBudgetWhereSharded", kInvalid, "GUARDRAIL_SHARDED", Spoiled([](auto& b) {
       b.mutable_shard()->set_tp_size(2);
       b.mutable_spec()->set_min_retained_mass(0.5);
       b.mutable_spec()->set_on_low_mass(v1::ON_LOW_MASS_RAISE_BUDGET);
     })},
    {"GuardrailOfAPipelineStage", kInvalid, "GUARDRAIL_SHARDED", Spoiled([](auto& b) {
       b.mutable_shard()->set_pp_size(2);
       b.mutable_spec()->set_min_retained_mass(0.5);
       b.mutable_spec()->set_on_low_mass(v1::ON_LOW_MASS_KEEP_FULL);
     })},
    {"ScoresMissing", kInvalid, "SCORES_MISSING", Spoiled([](auto& b) { b.clear_scores(); })},
    {"LseWithoutQueries", kInvalid, "BAD_SCORE_SOURCE", Spoiled([](auto& b) {
       b.mutable_scores()->set_source(v1::SCORE_SOURCE_TOKEN_SCORES);
       b.mutable_scores()->set_lse(true);
     })},
    {"PolicyUnset", kInvalid, "BAD_POLICY", Spoiled([](auto& b) { b.mutable_spec()->clear_policy(); })},
    {"PolicyUnknown", kInvalid, "BAD_POLICY",
     Spoiled([](auto& b) { b.mutable_spec()->set_policy(static_cast<v1::Policy>(99)); })},
    {"ChunkReduceUnknown", kInvalid, "BAD_CHUNK_REDUCE",
     Spoiled([](auto& b) { b.mutable_spec()->set_chunk_reduce(static_cast<v1::ChunkReduce>(9)); })},
    {"GroupScoreUnknown", kInvalid, "BAD_GROUP_SCORE",
     Spoiled([](auto& b) { b.mutable_spec()->set_group_score(static_cast<v1::GroupScore>(9)); })},
    {"OnLowMassUnknown", kInvalid, "BAD_ON_LOW_MASS",
     Spoiled([](auto& b) { b.mutable_spec()->set_on_low_mass(static_cast<v1::OnLowMass>(9)); })},
    {"ScoreSourceUnknown", kInvalid, "BAD_SCORE_SOURCE",
     Spoiled([](auto& b) { b.mutable_scores()->set_source(static_cast<v1::ScoreSource>(9)); })},
    {"OrderUnknown", kInvalid, "BAD_ENUM", Spoiled([](auto& b) { b.set_order(static_cast<v1::Begin::PartOrder>(9)); })},
    {"SendModeUnknown", kInvalid, "BAD_ENUM",
     Spoiled([](auto& b) { b.set_send_mode(static_cast<v1::Begin::SendMode>(9)); })},
    {"DurabilityUnknown", kInvalid, "BAD_ENUM",
     Spoiled([](auto& b) { b.set_durability(static_cast<v1::Durability>(9)); })},
    {"TokenLayoutUnknown", kInvalid, "BAD_ENUM",
     Spoiled([](auto& b) { Attention(b).set_token_layout(static_cast<v1::TokenLayout>(9)); })},
    {"DurabilityOnDisk", kUnimplemented, "DURABILITY",
     Spoiled([](auto& b) { b.set_durability(v1::DURABILITY_LOCAL_DISK); })},
    {"DurabilityShared", kUnimplemented, "DURABILITY",
     Spoiled([](auto& b) { b.set_durability(v1::DURABILITY_SHARED); })},
    {"FeatureUnknown", kUnimplemented, "FEATURE", Spoiled([](auto& b) { b.add_required_features("time_travel"); })},
    {"ProfileUnknown", kNotFound, "PROFILE_NOT_FOUND",
     Spoiled([](auto& b) { b.mutable_spec()->set_profile("measured"); })},
    {"ProfileNameTooLong", kInvalid, "BAD_PROFILE_NAME",
     Spoiled([](auto& b) { b.mutable_spec()->set_profile(std::string(257, 'p')); })},
    {"BaseEntry", kUnimplemented, "BASE_ENTRY", Spoiled([](auto& b) { b.mutable_base()->set_tokens(1); })},
    {"SelectFromQueries", kUnimplemented, "REGIONS",
     Spoiled([](auto& b) { b.set_send_mode(v1::Begin::SELECT_THEN_SEND); })},
    {"SelectExternal", kInvalid, "SELECT_EXTERNAL", Spoiled([](auto& b) {
       External(b);
       b.set_send_mode(v1::Begin::SELECT_THEN_SEND);
     })},
    {"ScoringFp8", kUnimplemented, "SCORING_FP8", Spoiled([](auto& b) {
       Attention(b).set_dtype(v1::DTYPE_F8_E4M3);
       Attention(b).set_value_dtype(v1::DTYPE_F8_E4M3);
       Attention(b).mutable_scales()->set_scales_per_head(1);
       Attention(b).mutable_scales()->set_dtype(v1::DTYPE_F32);
     })},
    {"ExternalWithoutLabel", kInvalid, "LABEL_MISSING", Spoiled([](auto& b) {
       External(b);
       b.mutable_spec()->clear_label();
     })},
    {"ExternalRowsAboveThePrompt", kInvalid, "BAD_ROW_COUNTS", Spoiled([](auto& b) {
       External(b);
       b.set_group_row_counts(1, 97);
     })},
    {"ContiguousKeysNotExternal", kInvalid, "KEYS_CONTIGUOUS", Spoiled([](auto& b) { b.set_keys_contiguous(true); })},
};
INSTANTIATE_TEST_SUITE_P(Combinations, BadBeginTest, testing::ValuesIn(kCombinations), NameOfRow);

std::function<RpcEnd(TestServer&)> Named(const std::string& name) {
  return Spoiled([name](v1::Begin& b) { b.mutable_model()->set_name(name); });
}

const BadInput kIdentities[] = {
    {"KeyEmpty", kInvalid, "KEY_MISSING", Spoiled([](auto& b) { b.clear_prompt(); })},
    {"KeyShort", kInvalid, "BAD_KEY", Spoiled([](auto& b) { b.mutable_prompt()->set_key(std::string(31, 'k')); })},
    {"KeyLong", kInvalid, "BAD_KEY", Spoiled([](auto& b) { b.mutable_prompt()->set_key(std::string(33, 'k')); })},
    {"KeyOfOtherTokens", kInvalid, "KEY_MISMATCH", Spoiled([](auto& b) {
       SetTokens(b, 96);
       b.mutable_prompt()->set_key(std::string(32, 'k'));
     })},
    {"KeyOfOtherDigests", kInvalid, "KEY_MISMATCH", Spoiled([](auto& b) {
       for (int i = 0; i < 2; ++i) b.mutable_prompt()->add_block_digests(std::string(32, 'd'));
       b.mutable_prompt()->set_token_count(96);
     })},
    {"DigestsOfOtherTokens", kInvalid, "KEY_MISMATCH", Spoiled([](auto& b) {
       SetTokens(b, 96);
       for (int i = 0; i < 2; ++i) b.mutable_prompt()->add_block_digests(std::string(32, 'd'));
     })},
    {"NameClimbs", kInvalid, "BAD_NAME", Named("models/../secret")},
    {"NameIsAnAbsolutePath", kInvalid, "BAD_NAME", Named("/etc/passwd")},
    {"NameIsEscaped", kInvalid, "BAD_NAME", Named("models/%2e%2E/secret")},
    {"NameHoldsNul", kInvalid, "BAD_NAME", Named(std::string("mo\0del", 6))},
    {"NameHoldsAControlByte", kInvalid, "BAD_NAME", Named("mo\ndel")},
    {"NameIsNoUtf8", kInvalid, "MALFORMED_MESSAGE", Named("mo\xff\xfe")},
    {"NameTooLong", kInvalid, "BAD_NAME", Named(std::string(1025, 'n'))},
    {"ModelMissing", kInvalid, "MODEL_MISSING", Spoiled([](auto& b) { b.clear_model(); })},
    {"ModelWithoutRevision", kInvalid, "MODEL_IDENTITY_INCOMPLETE",
     Spoiled([](auto& b) { b.mutable_model()->clear_revision(); })},
    {"ModelWithoutName", kInvalid, "MODEL_IDENTITY_INCOMPLETE",
     Spoiled([](auto& b) { b.mutable_model()->clear_name(); })},
    {"ModelWithoutKvDType", kInvalid, "MODEL_IDENTITY_INCOMPLETE",
     Spoiled([](auto& b) { b.mutable_model()->clear_kv_dtype(); })},
    {"ModelWithoutHeads", kInvalid, "MODEL_IDENTITY_INCOMPLETE",
     Spoiled([](auto& b) { b.mutable_model()->clear_kv_head_count(); })},
    {"ModelWithoutHeadSize", kInvalid, "MODEL_IDENTITY_INCOMPLETE",
     Spoiled([](auto& b) { b.mutable_model()->clear_key_head_size(); })},
    {"ModelOfANamelessAdapter", kInvalid, "MODEL_IDENTITY_INCOMPLETE",
     Spoiled([](auto& b) { b.mutable_model()->add_adapters()->set_revision("1"); })},
    {"ModelOfANamelessExtra", kInvalid, "MODEL_IDENTITY_INCOMPLETE",
     Spoiled([](auto& b) { (*b.mutable_model()->mutable_extra())[""] = "value"; })},
    {"ModelWithoutLayers", kInvalid, "MODEL_IDENTITY_INCOMPLETE",
     Spoiled([](auto& b) { b.mutable_model()->set_layer_count(0); })},
    {"ModelWithTooManyAdapters", kInvalid, "TOO_MANY_NAMES", Spoiled([](auto& b) {
       for (int i = 0; i < 65; ++i) b.mutable_model()->add_adapters()->set_name("a");
     })},
    {"ModelWithTooManyExtras", kInvalid, "TOO_MANY_NAMES", Spoiled([](auto& b) {
       for (int i = 0; i < 65; ++i) (*b.mutable_model()->mutable_extra())[std::to_string(i)] = "value";
     })},
    {"ShardRankOutsideItsSize", kInvalid, "BAD_SHARD", Spoiled([](auto& b) { b.mutable_shard()->set_tp_rank(1); })},
    {"ShardStageOutsideItsSize", kInvalid, "BAD_SHARD", Spoiled([](auto& b) {
       b.mutable_shard()->set_pp_size(2);
       b.mutable_shard()->set_pp_rank(2);
     })},
    {"ShardSizeNegative", kInvalid, "BAD_SHARD", Spoiled([](auto& b) { b.mutable_shard()->set_pp_size(-1); })},
    {"ShardRankNegative", kInvalid, "BAD_SHARD", Spoiled([](auto& b) { b.mutable_shard()->set_tp_rank(-1); })},
    {"ShardLayersNegative", kInvalid, "BAD_SHARD", Spoiled([](auto& b) { b.mutable_shard()->set_first_layer(-1); })},
    {"ShardLayersOutsideTheModel", kInvalid, "BAD_SHARD",
     Spoiled([](auto& b) { b.mutable_shard()->set_first_layer(1); })},
    {"ShardHeadsOutsideTheModel", kInvalid, "BAD_SHARD",
     Spoiled([](auto& b) { b.mutable_shard()->set_kv_head_count(1 << 30); })},
    {"ContentDigestShort", kInvalid, "BAD_CONTENT_DIGEST", Spoiled([](auto& b) { b.set_content_digest("short"); })},
    {"TransferIdLong", kInvalid, "TRANSFER_ID_TOO_LONG",
     Spoiled([](auto& b) { b.set_transfer_id(std::string(33, 't')); })},
};
INSTANTIATE_TEST_SUITE_P(Identities, BadBeginTest, testing::ValuesIn(kIdentities), NameOfRow);

// Every string of a model's identity is held to the same rules.
TEST(BadBeginTest, RefusesBadStringsInEveryField) {
  using Set = void (*)(v1::ModelIdentity&, const std::string&);
  const std::pair<const char*, Set> fields[] = {
      {"revision", [](auto& m, const auto& bad) { m.set_revision(bad); }},
      {"kv_dtype", [](auto& m, const auto& bad) { m.set_kv_dtype(bad); }},
      {"quantization", [](auto& m, const auto& bad) { m.set_quantization(bad); }},
      {"rope", [](auto& m, const auto& bad) { m.set_rope(bad); }},
      {"adapters.name", [](auto& m, const auto& bad) { m.add_adapters()->set_name(bad); }},
      {"adapters.revision",
       [](auto& m, const auto& bad) {
         m.add_adapters()->set_name("adapter");
         m.mutable_adapters(0)->set_revision(bad);
       }},
      {"extra, a key", [](auto& m, const auto& bad) { (*m.mutable_extra())[bad] = "value"; }},
      {"extra, a value", [](auto& m, const auto& bad) { (*m.mutable_extra())["key"] = bad; }},
  };
  const std::string bad_strings[] = {
      "a/../b",    "..",   "/etc/passwd",         "\\server", "%2E%2e", std::string("a\0b", 3), "a\x7f",
      "a\xc2\x85", "a\nb", std::string(1025, 'n')};
  for (const auto& [field, set] : fields) {
    SCOPED_TRACE(field);
    for (const std::string& bad : bad_strings) {
      SCOPED_TRACE(bad.substr(0, 16));
      ExpectRefused(
          {"", kInvalid, "BAD_NAME", Spoiled([&, set = set](v1::Begin& b) { set(*b.mutable_model(), bad); })});
    }
    ExpectRefused({"", kInvalid, "MALFORMED_MESSAGE",
                   Spoiled([set = set](v1::Begin& b) { set(*b.mutable_model(), "no UTF-8: \xff"); })});
  }
}

TEST(BadBeginTest, RefusesAnEntryAboveTheCapThatTheBudgetWouldHold) {
  ServerOptions options = SmallServer();
  options.store.max_entry_bytes = 256 << 10;
  TestServer server(options);
  v1::Begin begin = BeginOf(SmallRequest());
  begin.set_token_count(10'000);
  begin.mutable_spec()->set_max_tokens(9000);
  PutClient client(server.channel());
  EXPECT_FALSE(client.Begin(begin).has_value());
  const RpcEnd end = client.Finish();
  EXPECT_EQ(end.code, kExhausted) << end;
  EXPECT_EQ(end.reason, "ENTRY_TOO_LARGE");
  EXPECT_EQ(end.retry_ms, 0);
  server.ExpectAtRest();
  const PutRequest good = SmallRequest();
  EXPECT_TRUE(PutAll(server.channel(), good, MakePrompt(good)).committed.has_value());
  server.ExpectAtRest();
}

}  // namespace
}  // namespace chunkkv
