// Calls to a server with any bytes at all for messages, right or wrong.
#ifndef CHUNKKV_TESTS_SUPPORT_RAW_STREAM_H_
#define CHUNKKV_TESTS_SUPPORT_RAW_STREAM_H_

#include <google/protobuf/message_lite.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>
#include <grpcpp/support/sync_stream.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace chunkkv {

// How a call ended.
struct RpcEnd {
  grpc::StatusCode code = grpc::StatusCode::UNKNOWN;
  std::string reason;  // trailer chunkkv-reason
  std::string message;
  int64_t retry_ms = 0;  // trailer chunkkv-retry-ms
  bool ok() const { return code == grpc::StatusCode::OK; }
};
std::ostream& operator<<(std::ostream& out, const RpcEnd& end);
RpcEnd EndOf(const grpc::Status& status, const grpc::ClientContext& context);

grpc::ByteBuffer BufferOf(const std::string& bytes);
std::string BytesOf(const grpc::ByteBuffer& buffer);

// A stream of any method in both directions; a server stream takes one message and a half-close. Used
// by one thread, or by one that sends and one that receives.
class RawStream {
 public:
  // `method` is one of KvCacheService, or a whole path ("/package.Service/Method"). Ends after `timeout_ms` of real
  // time, so that a test cannot hang.
  RawStream(std::shared_ptr<grpc::Channel> channel, const std::string& method, int64_t timeout_ms = 60'000);
  // Cancels what has not been finished.
  ~RawStream();

  // For what must be set before the first message (metadata, compression).
  grpc::ClientContext& context() { return context_; }
  // False once the stream is broken.
  bool Send(const std::string& bytes) { return SendBuffer(BufferOf(bytes)); }
  bool Send(const google::protobuf::MessageLite& message) { return Send(message.SerializeAsString()); }
  bool SendBuffer(const grpc::ByteBuffer& buffer);
  bool HalfClose();
  // Empty at the end of the stream.
  std::optional<std::string> Receive();
  // Drops what is still received.
  RpcEnd Finish();
  void Cancel() { context_.TryCancel(); }

 private:
  using Stream = grpc::ClientReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>;
  Stream& stream();

  const std::shared_ptr<grpc::Channel> channel_;
  const std::string path_;
  grpc::ClientContext context_;
  std::unique_ptr<Stream> stream_;
  bool finished_ = false;
};

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_SUPPORT_RAW_STREAM_H_
