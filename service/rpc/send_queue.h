#ifndef CHUNKKV_SERVICE_RPC_SEND_QUEUE_H_
#define CHUNKKV_SERVICE_RPC_SEND_QUEUE_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>

#include "absl/status/statusor.h"
#include "service/base/mutex.h"

namespace chunkkv::rpc {

// Messages in the order they were added, whatever order they are made in, and the transfers that make them. One thread
// adds, takes and sleeps; the others may be any.
class SendQueue {
 public:
  using Number = uint64_t;

  // A place behind all others, for a message that is made later.
  Number Add();
  void Fill(Number number, grpc::ByteBuffer message);
  // False where the next one is not there. Errors: how a transfer failed.
  absl::StatusOr<bool> Take(grpc::ByteBuffer* message);

  void Begin();
  void End(const absl::Status& status);
  // Whether every message has been taken, and every transfer has ended.
  bool IsDone() const;

  // False where something has happened since the last time; else `resume` is called, once, when something does.
  bool Sleep(std::function<void()>& resume);
  void Wake();

 private:
  mutable Mutex mutex_;
  std::deque<std::optional<grpc::ByteBuffer>> messages_ ABSL_GUARDED_BY(mutex_);
  Number first_ ABSL_GUARDED_BY(mutex_) = 0;  // of those in the queue
  int64_t under_way_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  bool has_news_ ABSL_GUARDED_BY(mutex_) = false;
  std::function<void()> resume_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_SEND_QUEUE_H_
