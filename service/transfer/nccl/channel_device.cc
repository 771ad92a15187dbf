#include "service/transfer/nccl/channel_device.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "service/transfer/nccl/channel_status.h"

namespace chunkkv {
namespace {

std::chrono::nanoseconds Pause(ChannelMachine::Pace pace) {
  switch (pace) {
    case ChannelMachine::Pace::kMoving:
      return std::chrono::microseconds(20);  // short against a transfer, long against a query of an event
    case ChannelMachine::Pace::kWaiting:
      return std::chrono::milliseconds(1);
    case ChannelMachine::Pace::kIdle:
      break;
  }
  return std::chrono::milliseconds(100);  // how late NCCL's errors are met, and deadlines of what has not started
}

}  // namespace

ChannelDevice::~ChannelDevice() { Finish(); }

ChannelDevice::MachineId ChannelDevice::Open(const NcclUniqueId& id, Listener listener) {
  MachineId machine;
  {
    MutexLock lock(mutex_);
    machine = ++last_id_;
  }
  // There is no machine yet: the task makes it, unless the device has finished.
  Post(machine, [this, machine, id, listener = std::move(listener)](ChannelMachine*) { Begin(machine, id, listener); });
  return machine;
}

void ChannelDevice::Begin(MachineId id, const NcclUniqueId& unique_id, Listener listener) {
  if (is_shutting_down_) {
    return listener(News{.status = ChannelClosed("the server ends"), .has_opened = false, .has_ended = true});
  }
  Row& row = rows_[id];
  row.machine = std::make_unique<ChannelMachine>(library_, clock_, timeouts_);
  row.listener = std::move(listener);
  row.machine->Begin(unique_id, make_stream_);
}

void ChannelDevice::Post(MachineId machine, Task task) {
  {
    MutexLock lock(mutex_);
    if (!is_finished_) {
      tasks_.push_back({machine, std::move(task)});
      posted_.NotifyOne();
      return;
    }
  }
  task(nullptr);
}

void ChannelDevice::Shutdown() {
  Post(0, [this](ChannelMachine*) {
    is_shutting_down_ = true;
    for (auto& [id, row] : rows_) row.machine->Abort(ChannelClosed("the server ends"));
  });
}

std::optional<ChannelDevice::Pace> ChannelDevice::RunOnce() {
  RunTasks();
  Pace pace = Pace::kIdle;
  for (auto at = rows_.begin(); at != rows_.end();) {
    const auto here = at++;
    here->second.machine->Step();
    pace = std::max(pace, here->second.machine->pace());
    Tell(here);
  }
  return rows_.empty() ? std::nullopt : std::optional(pace);
}

void ChannelDevice::RunTasks() {
  std::vector<Posted> tasks;
  {
    MutexLock lock(mutex_);
    tasks.swap(tasks_);
  }
  for (Posted& posted : tasks) {
    const auto found = rows_.find(posted.machine);
    posted.task(found == rows_.end() ? nullptr : found->second.machine.get());
  }
}

void ChannelDevice::Tell(std::map<MachineId, Row>::iterator at) {
  Row& row = at->second;
  for (const auto& call : row.machine->TakeCalls()) call();
  News news;
  news.status = row.machine->status();
  news.has_opened = row.machine->has_opened();
  news.has_ended = row.machine->state() == ChannelMachine::State::kEnded;
  const bool is_news =
      news.status != row.told.status || news.has_opened != row.told.has_opened || news.has_ended != row.told.has_ended;
  if (is_news) row.listener(row.told = news);
  if (news.has_ended) rows_.erase(at);
}

void ChannelDevice::Wait(std::optional<Pace> pace) {
  MutexLock lock(mutex_);
  if (pace.has_value()) {
    if (tasks_.empty()) posted_.WaitFor(mutex_, Pause(*pace));
  } else {
    while (tasks_.empty()) posted_.Wait(mutex_);
  }
}

void ChannelDevice::Finish() {
  is_shutting_down_ = true;
  while (true) {
    {
      MutexLock lock(mutex_);
      if (tasks_.empty()) {
        is_finished_ = true;
        break;
      }
    }
    RunTasks();
  }
  for (auto& [id, row] : rows_) {
    News news;
    news.status = ChannelClosed("the server ends");
    news.has_opened = row.machine->has_opened();
    news.has_ended = true;
    row.machine = nullptr;
    row.listener(news);
  }
  rows_.clear();
}

}  // namespace chunkkv
