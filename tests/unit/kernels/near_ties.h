// Near ties: what a float32 implementation may choose otherwise than the plain reference.
#ifndef CHUNKKV_TESTS_UNIT_KERNELS_NEAR_TIES_H_
#define CHUNKKV_TESTS_UNIT_KERNELS_NEAR_TIES_H_

#include <cstdint>
#include <vector>

#include "chunkkv/kernels/plan.h"
#include "tests/unit/kernels/compaction_run.h"

namespace chunkkv::testing {

// t: two scores of `layer` tie where they differ by at most t times the larger.
// max(1e-5, 2^-20 * scale * max over visible (i, j) of sum_d |Q K|).
double NearTieTolerance(const Plan& plan, int32_t layer, const LayerInput& input);

// Whether some reordering of near ties makes the visit of spans keep exactly `selection`. `truth`: the layers' token
// scores (added up, unpooled) by the reference, [P].
bool IsAcceptable(const Plan& plan, int64_t budget, const std::vector<double>& truth, double tolerance,
                  const std::vector<int32_t>& selection);

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_UNIT_KERNELS_NEAR_TIES_H_
