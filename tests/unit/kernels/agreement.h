#ifndef CHUNKKV_TESTS_UNIT_KERNELS_AGREEMENT_H_
#define CHUNKKV_TESTS_UNIT_KERNELS_AGREEMENT_H_

#include "tests/unit/kernels/compaction_run.h"
#include "tests/unit/kernels/random_prompt.h"

namespace chunkkv::testing {

// `kept` holds the rows at `positions`, bit for bit.
void ExpectRows(const RowsView& rows, const std::vector<int32_t>& positions, const std::vector<std::byte>& kept);

// `outcome` against that of the plain reference, `truth`: scores and choice up to near ties, its own masses, its rows.
void ExpectAgrees(const Plan& plan, const RandomPrompt& prompt, const CompactionOutcome& truth,
                  const CompactionOutcome& outcome);

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_UNIT_KERNELS_AGREEMENT_H_
