// Tasks that wait for a thread, in lines of their owners that take turns.
#ifndef CHUNKKV_SERVICE_BASE_TASK_QUEUE_H_
#define CHUNKKV_SERVICE_BASE_TASK_QUEUE_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <list>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace chunkkv {

// In order of posting within a line; one task of each line after the other. Whoever posts a thousand tasks keeps nobody
// else waiting for more than one of them. Not thread-safe: the executor locks.
class TaskQueue {
 public:
  using Task = std::function<void()>;
  using LineId = size_t;
  static LineId LineOf(std::string_view owner) { return std::hash<std::string_view>{}(owner); }

  void Push(LineId line, Task task) {
    const auto [found, is_new] = places_.try_emplace(line);
    if (is_new) found->second = lines_.insert(lines_.end(), {line, {}});
    found->second->tasks.push_back(std::move(task));
  }
  // Before all lines.
  void PushNext(Task task) { next_.push_front(std::move(task)); }

  bool empty() const { return next_.empty() && lines_.empty(); }

  // There must be one.
  Task Pop() {
    if (!next_.empty()) {
      Task task = std::move(next_.front());
      next_.pop_front();
      return task;
    }
    Line& line = lines_.front();
    Task task = std::move(line.tasks.front());
    line.tasks.pop_front();
    if (line.tasks.empty()) {
      places_.erase(line.id);
      lines_.pop_front();
    } else {
      lines_.splice(lines_.end(), lines_, lines_.begin());
    }
    return task;
  }

 private:
  struct Line {
    LineId id;
    std::deque<Task> tasks;
  };

  std::deque<Task> next_;
  std::list<Line> lines_;  // none is empty
  std::unordered_map<LineId, std::list<Line>::iterator> places_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_BASE_TASK_QUEUE_H_
