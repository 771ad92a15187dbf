#include <string>

#include "tests/bench/gpu/benches.h"
#include "tests/bench/gpu/check_against_cpu.h"
#include "tests/bench/gpu/device_prompt.h"
#include "tests/bench/gpu/device_request.h"
#include "tests/bench/gpu/device_timing.h"
#include "tests/bench/gpu/print_kernels.h"

namespace chunkkv::bench {
namespace {

constexpr double kSeconds = 0.6;  // of each figure

BenchShape Scoring(const char* bench, const char* model, int64_t tokens, int32_t window, DType dtype = DType::kBF16) {
  BenchShape shape;
  shape.bench = bench;
  shape.model = model;
  shape.tokens = tokens;
  shape.window = window;
  shape.dtype = dtype;
  return shape;
}

void TimeScoring(const BenchShape& shape, BenchDevice& device) {
  const Plan plan = shape.MakePlan(shape.bench == "score_lse");
  const DevicePrompt prompt(shape, /*has_values=*/false, *device.memory, device.stream);
  DeviceRequest request(plan, prompt.layers(),
                        {.select = false, .gather = false, .chunk_means = shape.AllowsChunkMeans()}, *device.compactor,
                        *device.memory, device.stream);
  const DeviceTiming timing = TimeOnStream(device.stream, kSeconds, [&](int) { request.Start(*device.compactor); });
  request.Finish(*device.compactor);
  PrintLine({"G1", shape.Name(), shape.LayerCount() * shape.LayerBytes(), {}, {}}, timing);
  PrintKernels(shape.Name(), request, device);
}

}  // namespace

void BenchScoring(BenchDevice& device) {
  for (const char* bench : {"score_lse", "score_chunk", "score_two_pass"}) {
    CheckAgainstCpu(Scoring(bench, "llama8b", 0, 32), bench == std::string("score_lse"), device);
  }
  TimeScoring(Scoring("score_lse", "llama8b", 32768, 32), device);
  TimeScoring(Scoring("score_chunk", "llama8b", 32768, 32), device);
  TimeScoring(Scoring("score_two_pass", "llama8b", 32768, 32), device);
  TimeScoring(Scoring("score_lse", "llama8b", 32768, 16), device);
  TimeScoring(Scoring("score_lse", "llama8b", 8192, 32), device);
  TimeScoring(Scoring("score_lse", "llama70b", 8192, 32), device);
  TimeScoring(Scoring("score_lse", "llama8b", 131072, 32), device);
  TimeScoring(Scoring("score_chunk", "llama8b", 131072, 32), device);
  TimeScoring(Scoring("score_two_pass", "llama8b", 131072, 32), device);
  TimeScoring(Scoring("score_lse", "llama8b", 32768, 32, DType::kF16), device);
}

}  // namespace chunkkv::bench
