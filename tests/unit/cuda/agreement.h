#ifndef CHUNKKV_TESTS_UNIT_CUDA_AGREEMENT_H_
#define CHUNKKV_TESTS_UNIT_CUDA_AGREEMENT_H_

#include "tests/unit/cuda/emulated_device.h"
#include "tests/unit/kernels/random_prompt.h"

namespace chunkkv::testing {

CompactionSpec KeepByChunks(double ratio, int32_t window_length);

Plan PlanFor(const CompactionSpec& spec, const CompactionShape& shape);

// What `device` scores and keeps against the plain reference, up to near ties, and its rows against the prompt's, bit
// for bit.
void ExpectAgreesWithReference(EmulatedDevice& device, const Plan& plan, const RandomPrompt& prompt);

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_UNIT_CUDA_AGREEMENT_H_
