#include "tests/bench/gpu/check_against_cpu.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/bench/gpu/device_prompt.h"
#include "tests/bench/gpu/device_request.h"
#include "tests/unit/kernels/chunk_means.h"
#include "tests/unit/kernels/near_ties.h"
#include "tests/unit/kernels/row_memory.h"

namespace chunkkv::bench {
namespace {

using testing::CompactionOutcome;

constexpr int64_t kTokens = 2048;
constexpr int32_t kLayers = 2;
// 2^-20 of the largest logit by length, 170 * 128^-0.5, for each side.
constexpr double kTolerance = 4e-5;

[[noreturn]] void Fail(const BenchShape& shape, const std::string& why) {
  std::fprintf(stderr, "gpu_bench: %s is wrong: %s\n", shape.Name().c_str(), why.c_str());
  std::exit(1);
}

bool AreRowsOf(const RowsView& rows, const std::vector<int32_t>& positions, const std::vector<std::byte>& kept) {
  const size_t head_bytes = DTypeSize(rows.dtype) * rows.head_size;
  const std::byte* at = kept.data();
  for (const int32_t position : positions) {
    for (int32_t head = 0; head < rows.head_count; ++head, at += head_bytes) {
      if (std::memcmp(at, rows.data + testing::HeadOffset(rows, position, head), head_bytes) != 0) return false;
    }
  }
  return true;
}

void CheckLayer(const BenchShape& shape, const Plan& plan, int32_t layer, const testing::LayerInput& input,
                const CompactionOutcome& truth, const CompactionOutcome& outcome) {
  const std::string of_layer = " of layer " + std::to_string(layer);
  const auto group = static_cast<size_t>(plan.GroupOf(layer));
  if (plan.IsScored(layer)) {
    const std::vector<float>& scores = truth.token_scores.at(layer);
    const std::vector<float>& ours = outcome.token_scores.at(layer);
    for (size_t j = 0; j < scores.size(); ++j) {
      if (!(std::abs(ours[j] - scores[j]) <= kTolerance * scores[j])) {
        Fail(shape, "score" + of_layer + ", token " + std::to_string(j) + ": " + std::to_string(ours[j]) + ", not " +
                        std::to_string(scores[j]));
      }
    }
    const std::vector<double> in_double(scores.begin(), scores.end());
    if (!testing::IsAcceptable(plan, plan.budget, in_double, kTolerance, outcome.positions[group])) {
      Fail(shape, "choice" + of_layer);
    }
  }
  if (!AreRowsOf(input.keys, outcome.positions[group], outcome.keys[layer])) Fail(shape, "keys" + of_layer);
  if (!AreRowsOf(input.values, outcome.positions[group], outcome.values[layer])) Fail(shape, "values" + of_layer);
}

}  // namespace

void CheckAgainstCpu(BenchShape shape, bool has_lse, BenchDevice& device) {
  shape.tokens = kTokens + 5;
  shape.layer_count = kLayers;
  const Plan plan = shape.MakePlan(has_lse);
  const DevicePrompt prompt(shape, true, *device.memory, device.stream);
  DeviceRequest request(plan, prompt.layers(), {.chunk_means = shape.AllowsChunkMeans()}, *device.compactor,
                        *device.memory, device.stream);
  request.Start(*device.compactor);
  request.Finish(*device.compactor);
  CompactionOutcome outcome = request.Download();
  DevicePrompt::HostCopy host = prompt.Download(*device.memory, device.stream);
  for (testing::LayerInput& layer : host.layers) layer.lse = has_lse ? layer.lse : nullptr;
  CompactionOutcome truth = testing::Compact(*MakeCpuCompactor(), plan, host.layers);
  if (!truth.status.ok()) Fail(shape, "the CPU refuses it: " + std::string(truth.status.message()));
  if (shape.AllowsChunkMeans()) {
    testing::AverageChunks(plan, truth);
    testing::AverageChunks(plan, outcome);
  }
  for (int32_t layer = 0; layer < kLayers; ++layer) {
    CheckLayer(shape, plan, layer, host.layers[layer], truth, outcome);
  }
  std::fprintf(stderr, "%s agrees with the CPU\n", shape.Name().c_str());
}

}  // namespace chunkkv::bench
