#include "service/session/callback_queue.h"

#include <utility>

namespace chunkkv {

void CallbackQueue::Push(std::function<void()> callback) {
  MutexLock lock(mutex_);
  if (!closed_) callbacks_.push_back(std::move(callback));
}

void CallbackQueue::PushLast(std::function<void()> callback) {
  MutexLock lock(mutex_);
  if (closed_) return;
  callbacks_.push_back(std::move(callback));
  closed_ = true;
}

void CallbackQueue::Deliver() {
  {
    MutexLock lock(mutex_);
    if (delivering_) return;
    delivering_ = true;
    deliverer_ = std::this_thread::get_id();
  }
  while (true) {
    std::function<void()> callback;
    {
      MutexLock lock(mutex_);
      if (callbacks_.empty()) {
        delivering_ = false;
        idle_.NotifyAll();
        return;
      }
      callback = std::move(callbacks_.front());
      callbacks_.pop_front();
    }
    callback();
  }
}

void CallbackQueue::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  callbacks_.clear();
  while (delivering_ && deliverer_ != std::this_thread::get_id()) idle_.Wait(mutex_);
}

}  // namespace chunkkv
