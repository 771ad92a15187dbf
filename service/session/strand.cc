#include "service/session/strand.h"

#include <utility>

namespace chunkkv {

void Strand::Post(std::function<void()> task) {
  {
    MutexLock lock(mutex_);
    tasks_.push_back(std::move(task));
    if (std::exchange(running_, true)) return;
  }
  Wait();
}

bool Strand::IsIdle() const {
  MutexLock lock(mutex_);
  return !running_;
}

void Strand::Wait() {
  executor_.Post([self = shared_from_this()] { self->RunOne(); }, line_);
}

void Strand::RunOne() {
  std::function<void()> task;
  {
    MutexLock lock(mutex_);
    task = std::move(tasks_.front());
    tasks_.pop_front();
  }
  task();
  task = nullptr;  // what it held goes before the strand counts as idle
  {
    MutexLock lock(mutex_);
    if (tasks_.empty()) {
      running_ = false;
      return;
    }
  }
  Wait();
}

}  // namespace chunkkv
