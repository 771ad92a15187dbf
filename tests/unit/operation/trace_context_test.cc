#include "service/operation/trace_context.h"

#include <gtest/gtest.h>

#include <string>

namespace chunkkv {
namespace {

constexpr char kTrace[] = "0af7651916cd43dd8448eb211c80319c";
constexpr char kParent[] = "b7ad6b7169203331";

std::string Header(const std::string& version, const std::string& trace, const std::string& parent,
                   const std::string& flags) {
  return version + "-" + trace + "-" + parent + "-" + flags;
}

TEST(TraceContextTest, ReadsTheHeader) {
  const auto trace = ParseTraceParent(Header("00", kTrace, kParent, "01"));
  ASSERT_TRUE(trace.has_value());
  EXPECT_EQ(trace->trace_id, kTrace);
  EXPECT_EQ(trace->parent_id, kParent);
  EXPECT_TRUE(trace->sampled);
  EXPECT_FALSE(ParseTraceParent(Header("00", kTrace, kParent, "02"))->sampled);
}

TEST(TraceContextTest, LaterVersionsMaySayMore) {
  EXPECT_TRUE(ParseTraceParent(Header("01", kTrace, kParent, "01")).has_value());
  EXPECT_TRUE(ParseTraceParent(Header("01", kTrace, kParent, "01") + "-more").has_value());
  EXPECT_FALSE(ParseTraceParent(Header("01", kTrace, kParent, "01") + "more").has_value());
  EXPECT_FALSE(ParseTraceParent(Header("00", kTrace, kParent, "01") + "-more").has_value());
}

TEST(TraceContextTest, AnythingElseIsNone) {
  const std::string zeros(32, '0');
  for (const std::string& header :
       {std::string(), std::string(55, '-'), Header("ff", kTrace, kParent, "01"), Header("0g", kTrace, kParent, "01"),
        Header("00", zeros, kParent, "01"), Header("00", kTrace, zeros.substr(16), "01"),
        Header("00", std::string("0AF7") + (kTrace + 4), kParent, "01"), Header("00", kTrace, kParent, "0x"),
        Header("00", kTrace, kParent, "1")}) {
    EXPECT_FALSE(ParseTraceParent(header).has_value()) << header;
  }
}

}  // namespace
}  // namespace chunkkv
