// Budget for what a get makes beside the stored bytes: re-rotated keys.
#ifndef CHUNKKV_SERVICE_RPC_SCRATCH_POOL_H_
#define CHUNKKV_SERVICE_RPC_SCRATCH_POOL_H_

#include <cstdint>
#include <functional>
#include <utility>

#include "service/base/mutex.h"
#include "service/memory/budget.h"

namespace chunkkv::rpc {

// Holds one reservation, made before the get begins, and hands it out layer by layer. Thread-safe.
class ScratchPool {
 public:
  explicit ScratchPool(BudgetShare share) : share_(std::move(share)), free_bytes_(share_.bytes()) {}

  // False where what is out must come back first: `on_return` is then called once, when something has.
  bool Take(int64_t bytes, std::function<void()> on_return) {
    MutexLock lock(mutex_);
    if (bytes <= free_bytes_) {
      free_bytes_ -= bytes;
      return true;
    }
    on_return_ = std::move(on_return);
    return false;
  }

  void Return(int64_t bytes) {
    std::function<void()> on_return;
    {
      MutexLock lock(mutex_);
      free_bytes_ += bytes;
      on_return.swap(on_return_);
    }
    if (on_return) on_return();
  }

 private:
  const BudgetShare share_;
  Mutex mutex_;
  int64_t free_bytes_ ABSL_GUARDED_BY(mutex_);
  std::function<void()> on_return_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_SCRATCH_POOL_H_
