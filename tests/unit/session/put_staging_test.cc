// Memory of a put of 1 GiB. release_only: sanitizers multiply both its memory and its time.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "tests/support/store_at_rest.h"
#include "tests/unit/session/put_driver.h"

namespace chunkkv {
namespace {

int64_t ResidentBytes() {
  int64_t total_pages = 0;
  int64_t resident_pages = 0;
  std::ifstream("/proc/self/statm") >> total_pages >> resident_pages;
  return resident_pages * sysconf(_SC_PAGESIZE);
}

TEST(PutStagingTest, StagesAtMostFourLayersOfAGibibyte) {
  constexpr int32_t kLayers = 32;
  AttentionRun attention;
  attention.query_head_count = 8;
  attention.kv_head_count = 8;
  attention.key_head_size = 128;
  attention.value_head_size = 128;
  attention.key_dtype = DType::kBF16;
  attention.value_dtype = DType::kBF16;
  PutRequest request = SmallRequest();
  request.layout = {AttentionLayers(0, kLayers, attention)};
  request.token_count = 8192;
  request.spec.max_tokens.reset();
  request.spec.keep_ratio = 0.1;
  request.score_dtype = DType::kBF16;
  ASSERT_EQ(FullBytes(request.layout, request.token_count), int64_t{1} << 30);

  // One layer's bytes serve as every layer's.
  PutRequest one_layer = request;
  one_layer.layout[0].layer_count = 1;
  const Prompt layer = MakePrompt(one_layer);
  const Prompt prompt(kLayers, layer[0]);

  PutDriver driver(int64_t{1} << 30, SessionLimits(), MakeCpuCompactor());
  const int64_t resident_before = ResidentBytes();
  ASSERT_TRUE(driver.Begin(request).ok());
  const int64_t reserved = driver.store().Stats().used_bytes;
  int64_t most_resident = 0;
  for (int32_t i = 0; i < kLayers; ++i) {
    ASSERT_TRUE(driver.SendLayer(prompt, i, 512).ok());
    EXPECT_LE(driver.store().Stats().used_bytes, reserved);
    most_resident = std::max(most_resident, ResidentBytes() - resident_before);
  }
  ASSERT_TRUE(driver.CommitAndWait().ok());
  const PutSummary summary = driver.listener().summary();
  constexpr int64_t kLayerBytes = (int64_t{1} << 30) / kLayers;
  EXPECT_GE(summary.peak_staging_bytes, kLayerBytes);
  EXPECT_LE(summary.peak_staging_bytes, 4 * kLayerBytes);
  EXPECT_LE(most_resident, reserved + (int64_t{16} << 20));
  // The worst case is the kept tenth, four layers and their queries: nowhere near the prompt.
  EXPECT_LE(reserved, (int64_t{300} << 20));
  driver.Settle();
  ExpectAtRest(driver.store());
}

}  // namespace
}  // namespace chunkkv
