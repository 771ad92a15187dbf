// One stream of a put: writes parts from the caller's memory, reads what the server says on a thread of its own.
#ifndef CHUNKKV_CLIENT_CPP_PUT_STREAM_H_
#define CHUNKKV_CLIENT_CPP_PUT_STREAM_H_

#include <grpcpp/channel.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/sync_stream.h>

#include <functional>
#include <memory>
#include <thread>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "chunkkv/v1/payload.pb.h"
#include "chunkkv/v1/put.pb.h"
#include "client/cpp/call.h"
#include "service/base/mutex.h"

namespace chunkkv::client {

// Counts slices of the caller's memory that gRPC still refers to. Shared with the slices themselves.
class BorrowedBytes {
 public:
  void Take();
  void GiveBack();
  void AwaitNone();

 private:
  Mutex mutex_;
  CondVar none_;
  int64_t count_ ABSL_GUARDED_BY(mutex_) = 0;
};

class PutStream {
 public:
  // `on_reply` and then once `on_end` are called from the reading thread.
  PutStream(const std::shared_ptr<grpc::Channel>& channel, const CallMetadata& metadata,
            const CallOptions& options, std::function<void(const v1::PutCacheResponse&)> on_reply,
            std::function<void(const absl::Status&)> on_end);
  // Cancels what has not ended, and waits for the reading thread.
  ~PutStream();

  // False where the stream has ended; on_end says why. Thread-safe.
  bool Write(const v1::PutCacheRequest& request);
  // `owner` null: the bytes are viewed until `borrowed` has them back; else they belong to `owner`.
  bool WritePart(const v1::Part& part, absl::Span<const std::byte> bytes, std::shared_ptr<void> owner,
                 const std::shared_ptr<BorrowedBytes>& borrowed);
  bool HalfClose();
  void Cancel() { context_.get()->TryCancel(); }
  // Blocks until on_end has been called.
  void AwaitEnd();

 private:
  void Read();

  CallContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>> stream_;
  const std::function<void(const v1::PutCacheResponse&)> on_reply_;
  const std::function<void(const absl::Status&)> on_end_;
  Mutex write_mutex_;  // gRPC takes one write at a time
  Mutex mutex_;
  CondVar ended_changed_;
  bool has_ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread reader_;
};

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_CPP_PUT_STREAM_H_
