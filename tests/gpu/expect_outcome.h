// What tests of large requests ask of an outcome.
#ifndef CHUNKKV_TESTS_GPU_EXPECT_OUTCOME_H_
#define CHUNKKV_TESTS_GPU_EXPECT_OUTCOME_H_

#include <vector>

#include "tests/unit/kernels/compaction_run.h"

namespace chunkkv::testing {

// As acceptable as the choice of `truth`, by another float32 implementation, is: near ties may fall otherwise, rows are
// those of `layers`, views of the host, bit for bit. `tolerance`: of either side's scores, relative.
void ExpectAgrees(const Plan& plan, const std::vector<LayerInput>& layers, double tolerance,
                  const CompactionOutcome& truth, const CompactionOutcome& outcome);

// Bit for bit.
void ExpectSame(const CompactionOutcome& a, const CompactionOutcome& b);

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_GPU_EXPECT_OUTCOME_H_
