#include "service/operation/log.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>

namespace chunkkv {
namespace {

TEST(LogTest, ALineIsAnObject) {
  EXPECT_EQ(LogLine(1'700'000'000'123, LogLevel::kWarning, "so it is",
                    {{log_key::kRpc, std::string("GetCache")}, {log_key::kBytes, int64_t{7}}, {log_key::kDurationMs, 0.5}}),
            R"({"time":"2023-11-14T22:13:20.123Z","level":"warning","message":"so it is","rpc":"GetCache","bytes":7,)"
            R"("duration_ms":0.5})");
}

TEST(LogTest, TextsAreEscapedAndEmptyOnesLeftOut) {
  const std::string line = LogLine(0, LogLevel::kError, "a \"quote\"\nand a line",
                                   {{log_key::kReason, std::string()}, {log_key::kError, std::string("\xff\xfe")}});
  EXPECT_NE(line.find(R"("message":"a \"quote\"\nand a line")"), std::string::npos) << line;
  EXPECT_EQ(line.find("reason"), std::string::npos);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_NE(line.find("\"error\":\"(not UTF-8)\""), std::string::npos) << line;
}

TEST(LogTest, NumbersThatJsonHasNotAreNull) {
  EXPECT_NE(LogLine(0, LogLevel::kInfo, "", {{log_key::kDurationMs, std::nan("")}}).find("\"duration_ms\":null"),
            std::string::npos);
}

TEST(LogTest, LevelsFilter) {
  SetLogLevel(LogLevel::kError);
  EXPECT_FALSE(IsLogged(LogLevel::kWarning));
  EXPECT_TRUE(IsLogged(LogLevel::kError));
  SetLogLevel(LogLevel::kInfo);
  EXPECT_FALSE(IsLogged(LogLevel::kDebug));
}

TEST(LogTest, TenantsAreToldByADigest) {
  EXPECT_EQ(TenantDigest("default"), "37a8eec1ce19");
  EXPECT_NE(TenantDigest("a"), TenantDigest("b"));
}

TEST(LogTest, FieldsAreExplainedAndUnique) {
  std::set<std::string> names;
  for (const LogKey& key : kLogKeys) {
    EXPECT_TRUE(names.insert(key.name).second) << key.name;
    EXPECT_GT(std::string(key.meaning).size(), 5U) << key.name;
  }
}

}  // namespace
}  // namespace chunkkv
