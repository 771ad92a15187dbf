#include "service/operation/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace chunkkv {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(MetricsTest, CallsAreCountedByNameAndEnd) {
  Metrics metrics;
  metrics.CountCall("GetCache", "OK", "", 0.003);
  metrics.CountCall("GetCache", "NOT_FOUND", "ENTRY_NOT_FOUND", 0.001);
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr(R"(chunkkv_rpcs_total{code="OK",rpc="GetCache"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(chunkkv_rpcs_total{code="NOT_FOUND",rpc="GetCache"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(chunkkv_rpc_failures_total{reason="ENTRY_NOT_FOUND"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(chunkkv_rpc_duration_seconds_bucket{rpc="GetCache",le="0.0025"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(chunkkv_rpc_duration_seconds_count{rpc="GetCache"} 2)"));
}

TEST(MetricsTest, ReasonsAreBounded) {
  Metrics metrics;
  for (int i = 0; i < 1000; ++i) metrics.CountCall("GetCache", "INTERNAL", "REASON_" + std::to_string(i), 0);
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr(R"(chunkkv_rpc_failures_total{reason="OTHER"} 744)"));
  EXPECT_THAT(text, Not(HasSubstr("REASON_999")));
}

TEST(MetricsTest, PutsAreCountedByWhatIsKnownOfThem) {
  Metrics metrics;
  metrics.CountPut(0.2, 0.1, std::nullopt);
  metrics.CountPut(0.2, std::nullopt, std::nullopt);
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr("chunkkv_compaction_duration_seconds_count 2"));
  EXPECT_THAT(text, HasSubstr("chunkkv_compaction_ratio_count 1"));
  EXPECT_THAT(text, HasSubstr("chunkkv_retained_mass_count 0"));
}

TEST(MetricsTest, ReadingsAreTakenWhenSomebodyAsks) {
  Metrics metrics;
  int reads = 0;
  metrics.SetReader([&](MetricReadings& readings) {
    readings.Add(metric::kTierEntries, ++reads, {"host"});
    readings.Add(metric::kTierEntries, 7, {"device"});
    readings.Add(metric::kEvictions, 3, {"host"});
  });
  metrics.Text();
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr("# TYPE chunkkv_tier_entries gauge"));
  EXPECT_THAT(text, HasSubstr(R"(chunkkv_tier_entries{tier="host"} 2)"));
  EXPECT_THAT(text, HasSubstr(R"(chunkkv_tier_entries{tier="device"} 7)"));
  EXPECT_THAT(text, HasSubstr("# TYPE chunkkv_evictions_total counter"));
  EXPECT_THAT(text, HasSubstr(R"(chunkkv_evictions_total{tier="host"} 3)"));
}

}  // namespace
}  // namespace chunkkv
