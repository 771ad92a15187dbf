// The word in which kernels leave the first failure of a batch, for Wait (ExecutionContext::failure).
#ifndef CHUNKKV_KERNELS_FAILURE_WORD_H_
#define CHUNKKV_KERNELS_FAILURE_WORD_H_

#include <cstdint>

namespace chunkkv {

inline constexpr uint64_t kNoFailure = ~uint64_t{0};

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_FAILURE_WORD_H_
