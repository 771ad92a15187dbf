// Whom to wake when something happens. Thread-safe.
#ifndef CHUNKKV_SERVICE_STORE_WATCHER_LIST_H_
#define CHUNKKV_SERVICE_STORE_WATCHER_LIST_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "service/base/mutex.h"

namespace chunkkv {

class WatcherList {
 public:
  uint64_t Add(std::function<void()> wake);
  // Returns when the watcher's `wake` is not running and never will again. Must not be called from within it.
  void Remove(uint64_t id);
  // Calls every watcher's `wake` in this thread, without locks held.
  void WakeAll();

 private:
  struct Watcher {
    std::function<void()> wake;
    int running = 0;
    bool removed = false;
  };

  Mutex mutex_;
  CondVar idle_;
  std::map<uint64_t, std::shared_ptr<Watcher>> watchers_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_id_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_WATCHER_LIST_H_
