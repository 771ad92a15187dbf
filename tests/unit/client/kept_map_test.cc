#include "client/cli/kept_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace chunkkv::cli {
namespace {

// Three attention layers of 20 tokens: 0 and 1 share positions that 1 chose, 2 keeps everything.
EntryHeader Header() {
  EntryHeader header;
  AttentionRun run;
  run.query_head_count = run.kv_head_count = run.key_head_size = 1;
  header.layout = {{.first_layer = 0, .layer_count = 3, .attention = run, .named_tensors = {}}};
  header.token_count = 20;
  header.groups = {{0, 2, 1}, {2, 1, 2}};
  header.positions = {{0, 1, 4, 18, 19}, {}};
  header.row_counts = {5, 20};
  return header;
}

TEST(KeptMapTest, SharesCountTheTokensOfEachSpan) {
  EXPECT_THAT(KeptShares(Header(), 0, 10), testing::ElementsAre(1, 0, 0.5, 0, 0, 0, 0, 0, 0, 1));
  EXPECT_THAT(KeptShares(Header(), 0, 3), testing::ElementsAre(3.0 / 7, 0, 2.0 / 6));
  EXPECT_THAT(KeptShares(Header(), 1, 2), testing::ElementsAre(1, 1));
  EXPECT_THAT(KeptShares(Header(), 0, 1000), testing::SizeIs(20));
}

TEST(KeptMapTest, TextJoinsLayersThatShareAndMarksTheLeader) {
  const std::string text = KeptMapText(Header(), 15);
  EXPECT_THAT(text, testing::HasSubstr("0 ┌ █·▒······█\n1*└ █·▒······█\n2   ██████████\n")) << text;
}

TEST(KeptMapTest, SvgDrawsEachKeptRun) {
  const std::string svg = KeptMapSvg(Header());
  EXPECT_THAT(svg, testing::StartsWith("<svg"));
  EXPECT_THAT(svg, testing::HasSubstr("d=\"M60.00 10h96.00v26h-96.00zM252.00 10h48.00v26h-48.00zM924.00 10h96.00"));
  EXPECT_THAT(svg, testing::HasSubstr("1*</text>"));
}

}  // namespace
}  // namespace chunkkv::cli
