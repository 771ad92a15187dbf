// Tasks of one session, run on the executor one at a time in the order of posting.
#ifndef CHUNKKV_SERVICE_SESSION_STRAND_H_
#define CHUNKKV_SERVICE_SESSION_STRAND_H_

#include <deque>
#include <functional>
#include <memory>

#include "service/base/executor.h"
#include "service/base/mutex.h"

namespace chunkkv {

// Thread-safe. What tasks touch needs no other lock among them. Must be owned by a shared_ptr: it lives until its last
// task has run.
class Strand : public std::enable_shared_from_this<Strand> {
 public:
  // `line`: of the executor, that its tasks wait in.
  explicit Strand(Executor& executor, TaskQueue::LineId line = 0) : executor_(executor), line_(line) {}

  void Post(std::function<void()> task);
  // Whether nothing is running or waiting to.
  bool IsIdle() const;

 private:
  void Wait();
  // Runs one task, then gives other sessions their turn.
  void RunOne();

  Executor& executor_;
  const TaskQueue::LineId line_;
  mutable Mutex mutex_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool running_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_STRAND_H_
