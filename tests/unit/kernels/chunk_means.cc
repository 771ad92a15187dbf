#include "tests/unit/kernels/chunk_means.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>

#include "tests/unit/kernels/agreement.h"

namespace chunkkv::testing {

std::vector<LayerInput> AllowChunkMeans(std::vector<LayerInput> layers) {
  for (LayerInput& layer : layers) layer.allows_chunk_means = true;
  return layers;
}

void AverageChunks(const Plan& plan, CompactionOutcome& outcome) {
  for (auto& [layer, scores] : outcome.token_scores) {
    for (int64_t begin = 0, end; begin < plan.past_length; begin = end) {
      end = begin < plan.sink_tokens ? plan.sink_tokens : std::min(begin + plan.chunk_length, plan.past_length);
      const double sum = std::accumulate(scores.begin() + begin, scores.begin() + end, 0.0);
      std::fill(scores.begin() + begin, scores.begin() + end, static_cast<float>(sum / (end - begin)));
    }
  }
}

void ExpectAgreesByChunks(const Plan& plan, const RandomPrompt& prompt, CompactionOutcome outcome) {
  CompactionOutcome truth = Compact(*MakeReferenceCompactor(), plan, prompt.layers());
  const std::map<int32_t, double> exact = truth.retained_mass;
  AverageChunks(plan, truth);
  AverageChunks(plan, outcome);
  for (const auto& [layer, mass] : std::exchange(outcome.retained_mass, {})) {
    const std::vector<float>& scores = truth.token_scores.at(layer);
    const double all = std::accumulate(scores.begin(), scores.end(), 0.0);
    const double most_of_chunk = *std::max_element(scores.begin(), scores.end()) * plan.chunk_length;
    EXPECT_NEAR(mass, exact.at(layer), (all == 0 ? 0 : most_of_chunk / all) + 1e-4) << "layer " << layer;
  }
  ExpectAgrees(plan, prompt, truth, outcome);
}

}  // namespace chunkkv::testing
