// A fixed set of threads that run posted tasks: lines take turns, and some go first.
#ifndef CHUNKKV_SERVICE_BASE_EXECUTOR_H_
#define CHUNKKV_SERVICE_BASE_EXECUTOR_H_

#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

#include "service/base/mutex.h"
#include "service/base/task_queue.h"

namespace chunkkv {

class Executor {
 public:
  explicit Executor(size_t thread_count);
  // Runs what was posted, then joins.
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // `line`: whose task it is, such as a tenant's; see TaskQueue.
  void Post(std::function<void()> task, TaskQueue::LineId line = 0);
  // Before what is waiting: for what others wait for, and is short.
  void PostNext(std::function<void()> task);
  // Runs body(0..count-1) on this executor and in the calling thread; returns when all are done. May be called from a
  // task of this executor.
  void RunParallel(size_t count, const std::function<void(size_t)>& body);

 private:
  void Work();

  Mutex mutex_;
  CondVar wake_;
  TaskQueue tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_BASE_EXECUTOR_H_
