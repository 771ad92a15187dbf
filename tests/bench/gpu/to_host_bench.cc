#include "tests/bench/gpu/benches.h"
#include "tests/bench/gpu/check_against_cpu.h"
#include "tests/bench/gpu/device_prompt.h"
#include "tests/bench/gpu/device_request.h"
#include "tests/bench/gpu/device_timing.h"
#include "tests/bench/gpu/must.h"
#include "tests/bench/gpu/print_kernels.h"

namespace chunkkv::bench {
namespace {

constexpr double kSeconds = 2;

void TimeToHost(const BenchShape& shape, const DevicePrompt& prompt, BenchDevice& device) {
  const Plan plan = shape.MakePlan(/*has_lse=*/true);
  DeviceRequest request(plan, prompt.layers(), {}, *device.compactor, *device.memory, device.stream);
  DeviceBuffer host(*device.memory, DeviceBuffer::Kind::kPinned);
  MustReserve(host, request.kept_bytes(), "pinned memory");
  const DeviceTiming timing = TimeOnStream(device.stream, kSeconds, [&](int) {
    request.Start(*device.compactor);
    Must(device.memory->CopyAsync(host.data(), request.kept(), request.kept_bytes(), device.stream), "copying");
  });
  request.Finish(*device.compactor);
  PrintLine({"P1", shape.Name(), static_cast<int64_t>(request.kept_bytes()), {}, {}}, timing);
  PrintKernels(shape.Name(), request, device);
}

}  // namespace

void BenchToHost(BenchDevice& device) {
  BenchShape shape;
  shape.bench = "to_host";
  CheckAgainstCpu(shape, true, device);
  shape.tokens = 32768;
  const DevicePrompt prompt(shape, /*has_values=*/true, *device.memory, device.stream);
  for (const double keep : {0.3, 0.1}) {
    shape.keep = keep;
    TimeToHost(shape, prompt, device);
  }
}

}  // namespace chunkkv::bench
