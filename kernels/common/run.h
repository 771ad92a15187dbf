// What every implementation on the host does around its arithmetic.
#ifndef CHUNKKV_KERNELS_COMMON_RUN_H_
#define CHUNKKV_KERNELS_COMMON_RUN_H_

#include <cstddef>
#include <functional>

#include "absl/status/status.h"
#include "chunkkv/kernels/compactor.h"

namespace chunkkv {

// body(i) for i in [0, count), through the context's run_parallel where it has one. Does not allocate.
template <typename Body>
void RunParallel(const ExecutionContext& context, size_t count, Body&& body) {
  if (count == 0) return;
  if (context.run_parallel == nullptr || count == 1) {
    for (size_t i = 0; i < count; ++i) body(i);
    return;
  }
  context.run_parallel(count, std::function<void(size_t)>(std::ref(body)));
}

inline bool IsCancelled(const ExecutionContext& context) { return context.cancelled != nullptr && context.cancelled(); }

absl::Status CancelledStatus();
absl::Status NonFiniteStatus(int32_t layer);
absl::Status NegativeScoresStatus(int32_t layer);
// A position outside the rows that it should name, or a block id outside its cache.
absl::Status BadPositionStatus();

// Reads and clears the context's status.
absl::Status TakeStatus(ExecutionContext& context);

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_COMMON_RUN_H_
