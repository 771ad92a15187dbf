// Batches of compaction on an executor's threads.
#ifndef CHUNKKV_CLIENT_CLI_EXECUTOR_CONTEXT_H_
#define CHUNKKV_CLIENT_CLI_EXECUTOR_CONTEXT_H_

#include "chunkkv/kernels/compactor.h"
#include "service/base/executor.h"

namespace chunkkv::cli {

// `executor` must outlive the context and its copies.
inline ExecutionContext ContextOn(Executor& executor) {
  ExecutionContext context;
  context.run_parallel = [&executor](size_t count, const std::function<void(size_t)>& body) {
    executor.RunParallel(count, body);
  };
  return context;
}

}  // namespace chunkkv::cli

#endif  // CHUNKKV_CLIENT_CLI_EXECUTOR_CONTEXT_H_
