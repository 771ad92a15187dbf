#include "service/store/watcher_list.h"

#include <utility>
#include <vector>

namespace chunkkv {

uint64_t WatcherList::Add(std::function<void()> wake) {
  auto watcher = std::make_shared<Watcher>();
  watcher->wake = std::move(wake);
  MutexLock lock(mutex_);
  watchers_[++last_id_] = std::move(watcher);
  return last_id_;
}

void WatcherList::Remove(uint64_t id) {
  MutexLock lock(mutex_);
  const auto found = watchers_.find(id);
  if (found == watchers_.end()) return;
  const std::shared_ptr<Watcher> watcher = std::move(found->second);
  watchers_.erase(found);
  watcher->removed = true;
  while (watcher->running > 0) idle_.Wait(mutex_);
}

void WatcherList::WakeAll() {
  std::vector<std::shared_ptr<Watcher>> watchers;
  {
    MutexLock lock(mutex_);
    for (const auto& [id, watcher] : watchers_) watchers.push_back(watcher);
  }
  for (const std::shared_ptr<Watcher>& watcher : watchers) {
    {
      MutexLock lock(mutex_);
      if (watcher->removed) continue;
      ++watcher->running;
    }
    watcher->wake();
    MutexLock lock(mutex_);
    if (--watcher->running == 0) idle_.NotifyAll();
  }
}

}  // namespace chunkkv
