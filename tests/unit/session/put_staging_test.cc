// Memory of puts. release_only: sanitizers multiply both their memory and their time.
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "absl/strings/str_cat.h"
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

int64_t HeapBytes() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<int64_t>(info.uordblks + info.hblkhd);
}

// Small messages that announce much to keep.
std::vector<PutRequest> MuchToKeep() {
  PutRequest full = SmallRequest();
  full.spec = CompactionSpec();
  full.score_source = ScoreSource::kNone;
  full.order = PartOrder::kAny;
  full.token_count = 1;
  std::vector<PutRequest> requests;

  LayerRun verbatim;
  verbatim.layer_count = 256;
  for (int i = 0; i < 64; ++i) verbatim.named_tensors.push_back({absl::StrCat(std::string(60, 'n'), i), 1});
  requests.push_back(full);
  requests.back().layout = {verbatim};

  AttentionRun sinks = SmallAttention();
  sinks.query_head_count = 1024;
  sinks.sink_logits.assign(1024, 1.0F);
  requests.push_back(full);
  requests.back().layout = {AttentionLayers(0, 1024, sinks)};

  AttentionRun scales = SmallAttention(DType::kF8E4M3);
  scales.scales = ScaleShape{1, DType::kF32};
  requests.push_back(full);
  requests.back().layout = {AttentionLayers(0, 1024, scales)};

  requests.push_back(full);
  requests.back().token_count = 100'000;
  requests.back().layout = {VerbatimLayers(0, 1)};
  requests.back().prompt.block_size = 1;
  requests.back().prompt.digests.resize(100'000);

  PutRequest chunks = SmallRequest();
  chunks.token_count = 50'000;
  for (int32_t start = 0; start < 49'000; ++start) chunks.spec.chunk_starts.push_back(start);
  chunks.layout = {AttentionLayers(0, 1)};
  requests.push_back(chunks);

  PutRequest deciding = SmallRequest();
  deciding.spec.min_retained_mass = 0.1;
  deciding.spec.on_low_mass = OnLowMass::kKeepFull;
  deciding.layout = {AttentionLayers(0, 500), verbatim};
  deciding.layout[1].first_layer = 500;
  deciding.layout[1].layer_count = 200;
  requests.push_back(deciding);
  return requests;
}

TEST(PutStagingTest, CountsWhatASessionTakesOfTheHeap) {
  for (const PutRequest& request : MuchToKeep()) {
    PutDriver driver(int64_t{1} << 30);
    const int64_t before = HeapBytes();
    const absl::Status status = driver.Begin(request);
    ASSERT_TRUE(status.ok()) << status;
    const int64_t heap_bytes = HeapBytes() - before;
    std::printf("%lld KiB of heap, %lld KiB charged\n", static_cast<long long>(heap_bytes >> 10),
                static_cast<long long>(driver.store().Stats().used_bytes >> 10));
    EXPECT_LE(heap_bytes, driver.store().Stats().used_bytes);
    driver.Settle();
    ExpectAtRest(driver.store());
  }
}

TEST(PutStagingTest, CountsWhatScatteredPartsTakeOfTheHeap) {
  PutRequest request = SmallRequest();
  request.spec = CompactionSpec();
  request.score_source = ScoreSource::kNone;
  request.order = PartOrder::kAny;
  LayerRun run;
  for (int i = 0; i < 64; ++i) run.named_tensors.push_back({absl::StrCat("t", i), 8192});
  run.layer_count = 3;
  request.layout = {run};
  PutDriver driver(int64_t{1} << 30);
  const int64_t before = HeapBytes();
  ASSERT_TRUE(driver.Begin(request).ok());
  const int64_t body_bytes = Buffer::ChargedBytes(int64_t{3} * 64 * 8192);
  const auto send = [&](int32_t tensor, int64_t begin) {
    PartHeader header;
    header.layer = tensor / 64;
    header.tensor = PartTensor::kNamed;
    header.name = absl::StrCat("t", tensor % 64);
    header.range = RangeKind::kBytes;
    header.begin = begin;
    header.end = begin + 1;
    header.payload_bytes = 1;
    return driver.SendPart(0, header, Bytes(1));
  };
  // Scattered, then whole again, so that what was allocated for the gaps is needed no more.
  for (int32_t tensor = 0; tensor < 3 * 64; ++tensor) {
    for (int64_t at = 0; at < 8000; at += 2) ASSERT_TRUE(send(tensor, at).ok());
    for (int64_t at = 1; at < 8000; at += 2) ASSERT_TRUE(send(tensor, at).ok());
  }
  EXPECT_LE(HeapBytes() - before, driver.store().Stats().used_bytes - body_bytes);
  driver.Settle();
  ExpectAtRest(driver.store());
}

}  // namespace
}  // namespace chunkkv
