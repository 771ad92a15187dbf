#include "service/rpc/send_queue.h"

#include <utility>

namespace chunkkv::rpc {

SendQueue::Number SendQueue::Add() {
  MutexLock lock(mutex_);
  messages_.emplace_back();
  return first_ + messages_.size() - 1;
}

void SendQueue::Fill(Number number, grpc::ByteBuffer message) {
  {
    MutexLock lock(mutex_);
    messages_[number - first_] = std::move(message);
  }
  Wake();
}

absl::StatusOr<bool> SendQueue::Take(grpc::ByteBuffer* message) {
  MutexLock lock(mutex_);
  if (!failure_.ok()) return failure_;
  if (messages_.empty() || !messages_.front().has_value()) return false;
  *message = *std::move(messages_.front());
  messages_.pop_front();
  ++first_;
  return true;
}

void SendQueue::Begin() {
  MutexLock lock(mutex_);
  ++under_way_;
}

void SendQueue::End(const absl::Status& status) {
  {
    MutexLock lock(mutex_);
    --under_way_;
    if (failure_.ok()) failure_ = status;
  }
  Wake();
}

bool SendQueue::IsDone() const {
  MutexLock lock(mutex_);
  return messages_.empty() && under_way_ == 0 && failure_.ok();
}

bool SendQueue::Sleep(std::function<void()>& resume) {
  MutexLock lock(mutex_);
  if (std::exchange(has_news_, false)) return false;
  resume_ = std::move(resume);
  return true;
}

void SendQueue::Wake() {
  std::function<void()> resume;
  {
    MutexLock lock(mutex_);
    resume.swap(resume_);
    if (!resume) has_news_ = true;
  }
  if (resume) resume();
}

}  // namespace chunkkv::rpc
