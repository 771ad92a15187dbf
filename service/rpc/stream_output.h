// The outgoing half of a stream: messages one after another, then the status.
#ifndef CHUNKKV_SERVICE_RPC_STREAM_OUTPUT_H_
#define CHUNKKV_SERVICE_RPC_STREAM_OUTPUT_H_

#include <google/protobuf/message_lite.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <deque>
#include <functional>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "service/base/mutex.h"

namespace chunkkv::rpc {

grpc::ByteBuffer ToByteBuffer(const google::protobuf::MessageLite& message);

// gRPC takes one write at a time, exactly one finish, and nothing after it: this keeps to that, whatever threads send
// and end. Thread-safe. The operations are called under its lock, and never once the stream has been finished.
class StreamOutput {
 public:
  struct Operations {
    std::function<void(const grpc::ByteBuffer*)> write;
    std::function<void(const absl::Status&)> finish;
    std::function<void()> cancel;
  };
  explicit StreamOutput(Operations operations) : operations_(std::move(operations)) {}

  // Dropped once the stream has been ended.
  void Send(grpc::ByteBuffer message);
  // Only the first call counts. OK: after everything sent before. Otherwise right after the message that is being
  // written. True for that first call.
  bool End(const absl::Status& status);
  // To be called by the reactor's OnWriteDone.
  void OnWriteDone(bool ok);

  // Runs `operation` (such as starting a read) if the stream has not been finished.
  void IfOpen(absl::FunctionRef<void()> operation);
  // Cancels a stream that has been ended, but whose client does not take the message being written.
  void CancelIfStuck();

  // Messages sent and not yet written.
  size_t pending() const;
  bool ended() const;

 private:
  void Proceed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Operations operations_;
  mutable Mutex mutex_;
  std::deque<grpc::ByteBuffer> queue_ ABSL_GUARDED_BY(mutex_);
  grpc::ByteBuffer current_ ABSL_GUARDED_BY(mutex_);
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_STREAM_OUTPUT_H_
