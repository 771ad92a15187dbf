#include "tests/bench/gpu/benches.h"
#include "tests/bench/gpu/check_against_cpu.h"
#include "tests/bench/gpu/device_prompt.h"
#include "tests/bench/gpu/device_request.h"
#include "tests/bench/gpu/device_timing.h"
#include "tests/bench/gpu/device_work.h"
#include "tests/bench/gpu/must.h"

namespace chunkkv::bench {
namespace {

constexpr double kSeconds = 0.8;

// Ends the program where the peer's rows of the first layer differ from what is kept already.
void CheckPeer(const DeviceRequest& request, BenchDevice& device) {
  const std::vector<GatherTask>& tasks = request.gathers();
  const size_t layer_bytes = 2 * request.kept_bytes() / tasks.size();
  std::vector<std::byte> ours(layer_bytes), theirs(layer_bytes);
  MustCopy(*device.memory, ours.data(), request.kept(), layer_bytes, device.stream);
  FillUniform(0, 1, reinterpret_cast<float*>(request.kept()), layer_bytes / sizeof(float), 7, device.stream);
  EightByteCopy(tasks[0], tasks[1], device.stream);
  MustCopy(*device.memory, theirs.data(), request.kept(), layer_bytes, device.stream);
  Must(ours == theirs ? absl::OkStatus() : absl::InternalError("gathers other rows"), "the peer");
}

void TimeGathering(BenchShape shape, BenchDevice& device) {
  const Plan plan = shape.MakePlan(/*has_lse=*/true);
  const DevicePrompt prompt(shape, /*has_values=*/true, *device.memory, device.stream);
  DeviceRequest whole(plan, prompt.layers(), {}, *device.compactor, *device.memory, device.stream);
  whole.Start(*device.compactor);  // positions as a request chooses them
  whole.Finish(*device.compactor);
  const std::vector<GatherTask>& tasks = whole.gathers();
  const auto moved_bytes = static_cast<int64_t>(2 * whole.kept_bytes());
  const DeviceTiming timing = TimeOnStream(
      device.stream, kSeconds, [&](int) { whole.Start(*device.compactor, {.score = false, .select = false}); });
  whole.Finish(*device.compactor);
  PrintLine({"G3", shape.Name(), moved_bytes, {}, {}}, timing);
  CheckPeer(whole, device);
  const DeviceTiming peer = TimeOnStream(device.stream, kSeconds, [&](int) {
    for (size_t i = 0; i < tasks.size(); i += 2) EightByteCopy(tasks[i], tasks[i + 1], device.stream);
  });
  PrintLine({"G3", shape.Name(), moved_bytes, {}, "eight_byte_copy"}, peer);
}

}  // namespace

void BenchGathering(BenchDevice& device) {
  BenchShape shape;
  shape.bench = "gather";
  for (const Layout layout : {Layout::kTokenMajor, Layout::kHeadMajor, Layout::kPaged}) {
    shape.layout = layout;
    CheckAgainstCpu(shape, true, device);
    shape.tokens = 32768;
    TimeGathering(shape, device);
  }
}

}  // namespace chunkkv::bench
