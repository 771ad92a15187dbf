#include "service/rpc/stream_output.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <utility>

#include "service/base/check.h"

namespace chunkkv::rpc {

grpc::ByteBuffer ToByteBuffer(const google::protobuf::MessageLite& message) {
  grpc::ByteBuffer buffer;
  bool own_buffer = false;
  const grpc::Status status =
      grpc::GenericSerialize<grpc::ProtoBufferWriter, google::protobuf::MessageLite>(message, &buffer, &own_buffer);
  CHUNKKV_CHECK(status.ok());
  return buffer;
}

void StreamOutput::Send(grpc::ByteBuffer message) {
  MutexLock lock(mutex_);
  if (ended_ || broken_) return;
  queue_.push_back(std::move(message));
  Proceed();
}

bool StreamOutput::End(const absl::Status& status) {
  std::deque<grpc::ByteBuffer> dropped;  // released outside the lock
  MutexLock lock(mutex_);
  if (ended_) return false;
  ended_ = true;
  status_ = status;
  if (!status.ok()) dropped.swap(queue_);
  Proceed();
  return true;
}

void StreamOutput::OnWriteDone(bool ok) {
  std::deque<grpc::ByteBuffer> dropped;
  grpc::ByteBuffer written;
  MutexLock lock(mutex_);
  writing_ = false;
  written.Swap(&current_);
  if (!ok) {
    broken_ = true;
    dropped.swap(queue_);
  }
  Proceed();
}

void StreamOutput::Proceed() {
  if (writing_ || finished_) return;
  if (!queue_.empty()) {
    current_ = std::move(queue_.front());
    queue_.pop_front();
    writing_ = true;
    operations_.write(&current_);
  } else if (ended_) {
    finished_ = true;
    operations_.finish(status_);
  }
}

void StreamOutput::IfOpen(absl::FunctionRef<void()> operation) {
  MutexLock lock(mutex_);
  if (!finished_) operation();
}

void StreamOutput::CancelIfStuck() {
  MutexLock lock(mutex_);
  if (ended_ && !finished_) operations_.cancel();
}

size_t StreamOutput::pending() const {
  MutexLock lock(mutex_);
  return queue_.size() + (writing_ ? 1 : 0);
}

bool StreamOutput::ended() const {
  MutexLock lock(mutex_);
  return ended_;
}

}  // namespace chunkkv::rpc
