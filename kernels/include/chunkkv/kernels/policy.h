// What follows from a policy alone, before any prompt is known.
#ifndef CHUNKKV_KERNELS_POLICY_H_
#define CHUNKKV_KERNELS_POLICY_H_

#include "chunkkv/kernels/spec.h"

namespace chunkkv {

// Whether `policy` chooses by token scores, so that a score source must be given wherever not everything is kept.
constexpr bool ChoosesByScores(Policy policy) {
  return policy == Policy::kChunkKv || policy == Policy::kSnapKv || policy == Policy::kH2o;
}

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_POLICY_H_
