#include "service/format/bytes.h"

#include "gtest/gtest.h"
#include "service/format/text.h"

namespace chunkkv {
namespace {

TEST(HexTest, ReadsBackWhatItWrites) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  EXPECT_EQ(ToHex(bytes).substr(0, 8), "00010203");
  EXPECT_EQ(FromHex(ToHex(bytes)), bytes);
  EXPECT_EQ(FromHex("FFaB"), "\xff\xab");
  EXPECT_EQ(FromHex(""), "");
}

TEST(HexTest, IsEmptyForAnythingElse) {
  for (const char* text : {"0", "0g", "g0", "0x", " 0", "00 "}) EXPECT_EQ(FromHex(text), std::nullopt) << text;
}

TEST(FixedBytesTest, TakesExactlyItsSize) {
  EXPECT_TRUE(FixedFromView<16>(std::string(16, 'x')).has_value());
  EXPECT_FALSE(FixedFromView<16>(std::string(15, 'x')).has_value());
  EXPECT_FALSE(FixedFromView<16>(std::string(17, 'x')).has_value());
}

TEST(JsonStringTest, EscapesOnlyWhatJsonDemands) {
  EXPECT_EQ(JsonString("a/\"\\\b\t\n\f\r\x01\x1f\x7f\xc3\xa9"),
            "\"a/\\\"\\\\\\b\\t\\n\\f\\r\\u0001\\u001f\x7f\xc3\xa9\"");
}

TEST(JsonDoubleBitsTest, WritesTheBitsMostSignificantFirst) {
  EXPECT_EQ(JsonDoubleBits(0.5), "\"3fe0000000000000\"");
  EXPECT_EQ(JsonDoubleBits(-0.0), "\"0000000000000000\"");
}

}  // namespace
}  // namespace chunkkv
