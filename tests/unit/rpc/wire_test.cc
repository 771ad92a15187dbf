// Values of the domain survive the wire; error texts do no harm.
#include <gtest/gtest.h>

#include <string>

#include "chunkkv/kernels/status.h"
#include "service/rpc/grpc_status.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_identity.h"
#include "service/rpc/wire_layout.h"
#include "service/rpc/wire_put.h"
#include "service/rpc/wire_spec.h"
#include "tests/support/put_client.h"

namespace chunkkv::rpc {
namespace {

TEST(WireTest, SpecSurvives) {
  CompactionSpec spec;
  spec.policy = Policy::kH2o;
  spec.keep_ratio = 0.25;
  spec.chunk_length = 7;
  spec.window_length = 9;
  spec.group_score = GroupScore::kSum;
  spec.chunk_reduce = ChunkReduce::kMean;
  spec.sink_tokens = 0;  // unset is not zero
  spec.pool = 3;
  spec.recent_ratio = 0.75;
  spec.budget_multiple = 16;
  spec.min_retained_mass = 0.5;
  spec.on_low_mass = OnLowMass::kRaiseBudget;
  spec.max_raised_tokens = 300;
  spec.chunk_starts = {0, 10, 25};
  spec.groups = {{0, 2, 1}, {2, 1, -1}};
  v1::CompactionSpec wire;
  ToWire(spec, &wire);
  const auto back = SpecFromWire(wire);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(CanonicalText(*back), CanonicalText(spec));
  EXPECT_EQ(back->chunk_starts, spec.chunk_starts);
  EXPECT_EQ(back->groups, spec.groups);
  EXPECT_FALSE(back->max_tokens.has_value());
  EXPECT_FALSE(back->reuse_group.has_value());
}

TEST(WireTest, LayoutSurvives) {
  AttentionRun attention = SmallAttention(DType::kF8E4M3);
  attention.value_dtype = DType::kBF16;
  attention.scale = 0.125;
  attention.softcap = 30;
  attention.sink_logits = {1, 2, 3, 4};
  attention.rope = RopeShape{2, 4, true, {1.0, 0.5}};
  attention.scales = ScaleShape{2, DType::kF16};
  attention.head_major_parts = true;
  PutRequest request = SmallRequest();
  request.layout = {VerbatimLayers(0, 1), AttentionLayers(1, 2, attention)};
  const auto back = PutRequestFromWire(BeginOf(request), "tenant");
  ASSERT_TRUE(back.ok()) << back.status();
  ASSERT_EQ(back->layout.size(), 2u);
  EXPECT_EQ(back->layout[0].named_tensors[1].name, "ssm_state");
  EXPECT_EQ(back->layout[0].named_tensors[1].size_bytes, 1001);
  const AttentionRun& run = *back->layout[1].attention;
  EXPECT_EQ(run.value_dtype, DType::kBF16);
  EXPECT_EQ(run.scale, 0.125);
  EXPECT_EQ(run.sink_logits, attention.sink_logits);
  EXPECT_TRUE(run.rope->interleaved);
  EXPECT_EQ(run.rope->inv_freq, attention.rope->inv_freq);
  EXPECT_EQ(run.scales->dtype, DType::kF16);
  EXPECT_TRUE(run.head_major_parts);
}

TEST(WireTest, IdentitySurvives) {
  PutRequest request = SmallRequest();
  request.model.adapters = {{"lora", "2"}};
  request.model.extra = {{"kv", "x"}, {"a", "b"}};
  const auto back = PutRequestFromWire(BeginOf(request), "tenant");
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->model, request.model);
  EXPECT_EQ(back->shard, request.shard);
  EXPECT_EQ(IdentityOf(*back), IdentityOf(request));
}

TEST(WireTest, DerivesTheKeyFromTokens) {
  v1::PromptKey wire;
  for (uint32_t token = 0; token < 100; ++token) wire.add_tokens(token);
  wire.add_block_extra("image");
  wire.add_block_extra("");
  const auto prompt = PromptFromWire(wire);
  ASSERT_TRUE(prompt.ok()) << prompt.status();
  std::vector<uint32_t> tokens(wire.tokens().begin(), wire.tokens().end());
  const PromptDigests expected = DigestPrompt(tokens, std::vector<std::string>{"image", ""});
  EXPECT_EQ(prompt->digests.digests, expected.digests);
  EXPECT_EQ(prompt->key, expected.digests.back());
  EXPECT_EQ(prompt->digests.token_count, 100);
  // The key may be sent beside the tokens, where it is right.
  wire.set_key(ToString(expected.digests.back()));
  EXPECT_TRUE(PromptFromWire(wire).ok());
}

TEST(GrpcStatusTest, TextsArePrintableAndShort) {
  EXPECT_EQ(PrintableText("a\n\x7f\xff"
                          "b"),
            "a???b");
  EXPECT_EQ(PrintableText(std::string(5000, 'x')).size(), 1024u);
}

TEST(GrpcStatusTest, ItemsCarryCodeAndReason) {
  v1::ItemStatus item;
  ToWire(FailedPrecondition("PINNED", "text"), &item);
  EXPECT_EQ(item.code(), 9);
  EXPECT_EQ(item.reason(), "PINNED");
  EXPECT_EQ(item.message(), "text");
}

}  // namespace
}  // namespace chunkkv::rpc
