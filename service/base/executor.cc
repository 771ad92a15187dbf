#include "service/base/executor.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>

namespace chunkkv {
namespace {

// One RunParallel call. Helpers may start after the call has returned: they then find no index left, and `body`, which
// is gone by then, is not touched.
class ParallelRun {
 public:
  ParallelRun(size_t count, const std::function<void(size_t)>* body) : count_(count), body_(body) {}

  void RunWhatIsLeft() {
    for (size_t i = next_.fetch_add(1); i < count_; i = next_.fetch_add(1)) {
      (*body_)(i);
      MutexLock lock(mutex_);
      if (++done_ == count_) all_done_.NotifyAll();
    }
  }

  void Wait() {
    MutexLock lock(mutex_);
    while (done_ < count_) all_done_.Wait(mutex_);
  }

 private:
  const size_t count_;
  const std::function<void(size_t)>* const body_;
  std::atomic<size_t> next_{0};
  Mutex mutex_;
  CondVar all_done_;
  size_t done_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace

Executor::Executor(size_t thread_count) {
  threads_.reserve(std::max<size_t>(1, thread_count));
  for (size_t i = 0; i < std::max<size_t>(1, thread_count); ++i) threads_.emplace_back([this] { Work(); });
}

Executor::~Executor() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
}

void Executor::Post(std::function<void()> task, TaskQueue::LineId line) {
  {
    MutexLock lock(mutex_);
    tasks_.Push(line, std::move(task));
  }
  wake_.NotifyOne();
}

void Executor::PostNext(std::function<void()> task) {
  {
    MutexLock lock(mutex_);
    tasks_.PushNext(std::move(task));
  }
  wake_.NotifyOne();
}

void Executor::RunParallel(size_t count, const std::function<void(size_t)>& body) {
  if (count == 0) return;
  if (count == 1) return body(0);
  auto run = std::make_shared<ParallelRun>(count, &body);
  const size_t helper_count = std::min(count - 1, threads_.size());
  {
    // Before what is waiting: work that has begun ends sooner.
    MutexLock lock(mutex_);
    for (size_t i = 0; i < helper_count; ++i) tasks_.PushNext([run] { run->RunWhatIsLeft(); });
  }
  wake_.NotifyAll();
  // The caller takes part, so that all indices are run also when every thread of the executor is waiting like this one.
  run->RunWhatIsLeft();
  run->Wait();
}

void Executor::Work() {
  while (true) {
    std::function<void()> task;
    {
      MutexLock lock(mutex_);
      while (tasks_.empty() && !stopping_) wake_.Wait(mutex_);
      if (tasks_.empty()) return;
      task = tasks_.Pop();
    }
    task();
  }
}

}  // namespace chunkkv
