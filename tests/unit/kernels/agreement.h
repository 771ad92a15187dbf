#ifndef CHUNKKV_TESTS_UNIT_KERNELS_AGREEMENT_H_
#define CHUNKKV_TESTS_UNIT_KERNELS_AGREEMENT_H_

#include <functional>
#include <vector>

#include "tests/unit/kernels/compaction_run.h"
#include "tests/unit/kernels/random_prompt.h"

namespace chunkkv::testing {

// `kept` holds the rows at `positions`, bit for bit.
void ExpectRows(const RowsView& rows, const std::vector<int32_t>& positions, const std::vector<std::byte>& kept);

// `outcome` against `truth`, by another implementation: scores and choice up to near ties, its own masses, its rows, of
// `layers`, which are views of the host. `tolerance`: of a layer's scores, relative; as NearTieTolerance.
void ExpectAgrees(const Plan& plan, const std::vector<LayerInput>& layers,
                  const std::function<double(int32_t layer)>& tolerance, const CompactionOutcome& truth,
                  const CompactionOutcome& outcome);

// The same against that of the plain reference.
void ExpectAgrees(const Plan& plan, const RandomPrompt& prompt, const CompactionOutcome& truth,
                  const CompactionOutcome& outcome);

void ExpectSameBits(const CompactionOutcome& a, const CompactionOutcome& b);

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_UNIT_KERNELS_AGREEMENT_H_
