// Runs batches of a compactor, one after the other, in a workspace that grows to the largest.
#ifndef CHUNKKV_CLIENT_TUNE_BATCH_RUNNER_H_
#define CHUNKKV_CLIENT_TUNE_BATCH_RUNNER_H_

#include <cstddef>
#include <vector>

#include "absl/status/status.h"
#include "chunkkv/kernels/compactor.h"

namespace chunkkv::tune {

// Not thread-safe. `compactor` must outlive it.
class BatchRunner {
 public:
  BatchRunner(const Compactor& compactor, ExecutionContext context);

  // Returns when the batch is done. Errors: those of Compactor::Enqueue and Wait.
  absl::Status Run(const Plan& plan, const Batch& batch);

 private:
  const Compactor& compactor_;
  ExecutionContext context_;
  std::vector<std::byte> workspace_;
};

}  // namespace chunkkv::tune

#endif  // CHUNKKV_CLIENT_TUNE_BATCH_RUNNER_H_
