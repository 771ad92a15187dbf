#include "tests/unit/cuda/agreement.h"

#include <gtest/gtest.h>

#include "tests/unit/kernels/agreement.h"

namespace chunkkv::testing {

CompactionSpec KeepByChunks(double ratio, int32_t window_length) {
  CompactionSpec spec;
  spec.policy = Policy::kChunkKv;
  spec.keep_ratio = ratio;
  spec.window_length = window_length;
  return spec;
}

Plan PlanFor(const CompactionSpec& spec, const CompactionShape& shape) {
  auto plan = MakePlan(spec, shape);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *std::move(plan);
}

void ExpectAgreesWithReference(EmulatedDevice& device, const Plan& plan, const RandomPrompt& prompt) {
  const CompactionOutcome truth = Compact(*MakeReferenceCompactor(), plan, prompt.layers());
  const CompactionOutcome outcome = device.Compact(plan, prompt.layers());
  ExpectAgrees(plan, prompt, truth, outcome);
  for (const auto& [layer, mass] : outcome.retained_mass) EXPECT_NEAR(mass, truth.retained_mass.at(layer), 1e-4);
}

}  // namespace chunkkv::testing
