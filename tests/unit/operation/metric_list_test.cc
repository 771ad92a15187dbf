#include "service/operation/metric_list.h"

#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>

namespace chunkkv {
namespace {

TEST(MetricListTest, HasEveryMetricOnceAndExplained) {
  std::set<std::string> names;
  for (const MetricSpec& spec : kMetrics) {
    EXPECT_TRUE(names.insert(spec.name).second) << spec.name;
    EXPECT_GT(std::string(spec.help).size(), 5U) << spec.name;
    EXPECT_EQ(spec.kind == MetricKind::kCounter, std::string(spec.name).ends_with("_total")) << spec.name;
    EXPECT_EQ(std::string(spec.name).rfind("chunkkv_", 0), 0U) << spec.name;
  }
  std::ifstream file(std::string(CHUNKKV_SOURCE_DIR) + "/service/operation/metric_list.h");
  std::stringstream text;
  text << file.rdbuf();
  const std::string source = text.str();
  const std::regex declaration("MetricSpec k\\w+\\{\"(\\w+)\"");
  std::set<std::string> declared;
  for (std::sregex_iterator match(source.begin(), source.end(), declaration), end; match != end; ++match) {
    declared.insert((*match)[1]);
  }
  EXPECT_EQ(declared, names) << "a metric that is defined is in the list";
}

}  // namespace
}  // namespace chunkkv
