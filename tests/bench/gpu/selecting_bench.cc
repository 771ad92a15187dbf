#include <memory>

#include "tests/bench/gpu/benches.h"
#include "tests/bench/gpu/check_against_cpu.h"
#include "tests/bench/gpu/device_request.h"
#include "tests/bench/gpu/device_timing.h"
#include "tests/bench/gpu/device_work.h"
#include "tests/bench/gpu/print_kernels.h"

namespace chunkkv::bench {
namespace {

constexpr double kSeconds = 2;
constexpr int kSets = 8;  // of 16 MiB of scores: more than a cache holds

void TimeSelecting(const BenchShape& shape, bool with_masses, BenchDevice& device) {
  const Plan plan = shape.MakePlan(/*has_lse=*/true);
  const std::vector<testing::LayerInput> no_rows(shape.LayerCount());
  std::vector<std::unique_ptr<DeviceRequest>> sets;
  for (uint32_t i = 0; i < kSets; ++i) {
    sets.push_back(std::make_unique<DeviceRequest>(plan, no_rows,
                                                   RequestParts{.score = false, .gather = false, .masses = with_masses},
                                                   *device.compactor, *device.memory, device.stream));
    FillUniform(0, 1, sets.back()->token_scores(0), sets.back()->score_count(), i, device.stream);
  }
  const DeviceTiming timing =
      TimeOnStream(device.stream, kSeconds, [&](int run) { sets[run % kSets]->Start(*device.compactor); });
  for (const auto& set : sets) set->Finish(*device.compactor);
  if (!with_masses) {
    const auto score_bytes = static_cast<int64_t>(sets[0]->score_count() * sizeof(float));
    PrintLine({"G2", shape.Name(), score_bytes, {}, {}}, timing);
  }
  PrintKernels(shape.Name() + (with_masses ? ", with masses" : ""), *sets[0], device);
}

}  // namespace

void BenchSelecting(BenchDevice& device) {
  BenchShape shape;
  shape.bench = "select";
  CheckAgainstCpu(shape, true, device);
  shape.tokens = 131072 + shape.window;  // 13,108 chunks
  TimeSelecting(shape, false, device);
  TimeSelecting(shape, true, device);
}

}  // namespace chunkkv::bench
