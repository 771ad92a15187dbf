#include <string>

#include "tests/bench/gpu/benches.h"
#include "tests/bench/gpu/check_against_cpu.h"
#include "tests/bench/gpu/device_prompt.h"
#include "tests/bench/gpu/device_request.h"
#include "tests/bench/gpu/device_timing.h"
#include "tests/bench/gpu/print_kernels.h"

namespace chunkkv::bench {
namespace {

constexpr double kSeconds = 0.5;
constexpr int64_t kTokenCounts[] = {8192, 32768, 131072};

void TimeRequest(const BenchShape& shape, const DevicePrompt& prompt, BenchDevice& device) {
  const Plan plan = shape.MakePlan(shape.bench == "request");
  DeviceRequest request(plan, prompt.layers(), {.chunk_means = shape.AllowsChunkMeans()}, *device.compactor,
                        *device.memory, device.stream);
  const DeviceTiming timing = TimeOnStream(device.stream, kSeconds, [&](int) { request.Start(*device.compactor); });
  request.Finish(*device.compactor);
  int64_t scored_layers = 0;
  for (int32_t layer = 0; layer < shape.LayerCount(); ++layer) scored_layers += plan.IsScored(layer) ? 1 : 0;
  const int64_t moved_bytes = scored_layers * shape.LayerBytes() + static_cast<int64_t>(2 * request.kept_bytes());
  PrintLine({"G4", shape.Name(), moved_bytes, static_cast<int64_t>(request.scratch_bytes()), {}}, timing);
  PrintKernels(shape.Name(), request, device);
}

}  // namespace

void BenchRequests(BenchDevice& device) {
  BenchShape shape;
  for (const char* bench : {"request", "request_no_lse"}) {
    shape.bench = bench;
    shape.reuse = 2;
    CheckAgainstCpu(shape, bench == std::string("request"), device);
  }
  for (const int64_t tokens : kTokenCounts) {
    shape.tokens = tokens;
    const DevicePrompt prompt(shape, /*has_values=*/true, *device.memory, device.stream);
    for (const int32_t reuse : {1, 2}) {
      for (const double keep : {0.3, 0.1}) {
        shape.bench = "request";
        shape.reuse = reuse;
        shape.keep = keep;
        TimeRequest(shape, prompt, device);
      }
    }
    shape.bench = "request_no_lse";
    shape.reuse = 1;
    shape.keep = 0.3;
    TimeRequest(shape, prompt, device);
  }
}

}  // namespace chunkkv::bench
