// Calls out of a session, delivered one at a time, in order, without the session's lock held.
#ifndef CHUNKKV_SERVICE_SESSION_CALLBACK_QUEUE_H_
#define CHUNKKV_SERVICE_SESSION_CALLBACK_QUEUE_H_

#include <deque>
#include <functional>
#include <thread>

#include "service/base/mutex.h"

namespace chunkkv {

// Thread-safe. Push while holding any lock; Deliver without. Whoever delivers first delivers for all: a callback that
// leads to further ones does not nest.
class CallbackQueue {
 public:
  void Push(std::function<void()> callback);
  // Nothing that is pushed after this is delivered.
  void PushLast(std::function<void()> callback);
  void Deliver();
  // Drops what has not been delivered; returns when no callback is running in another thread.
  void Close();

 private:
  Mutex mutex_;
  CondVar idle_;
  std::deque<std::function<void()>> callbacks_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool delivering_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread::id deliverer_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_CALLBACK_QUEUE_H_
