#include "tests/support/raw_stream.h"

#include <grpcpp/impl/codegen/rpc_method.h>

#include <chrono>
#include <ostream>
#include <vector>

namespace chunkkv {

std::ostream& operator<<(std::ostream& out, const RpcEnd& end) {
  return out << "code " << end.code << " (" << end.reason << "): " << end.message;
}

RpcEnd EndOf(const grpc::Status& status, const grpc::ClientContext& context) {
  RpcEnd end;
  end.code = status.error_code();
  end.message = status.error_message();
  const auto& trailers = context.GetServerTrailingMetadata();
  if (const auto found = trailers.find("chunkkv-reason"); found != trailers.end()) {
    end.reason.assign(found->second.data(), found->second.size());
  }
  if (const auto found = trailers.find("chunkkv-retry-ms"); found != trailers.end()) {
    end.retry_ms = std::stoll(std::string(found->second.data(), found->second.size()));
  }
  return end;
}

grpc::ByteBuffer BufferOf(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  (void)buffer.Dump(&slices);
  std::string bytes;
  for (const grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

RawStream::RawStream(std::shared_ptr<grpc::Channel> channel, const std::string& method, int64_t timeout_ms)
    : channel_(std::move(channel)), path_(method[0] == '/' ? method : "/chunkkv.v1.KvCacheService/" + method) {
  context_.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(timeout_ms));
}

RawStream::~RawStream() {
  if (finished_ || stream_ == nullptr) return;
  context_.TryCancel();
  Finish();
}

// Begun with the first use, so that the context can be changed before.
RawStream::Stream& RawStream::stream() {
  if (stream_ == nullptr) {
    const grpc::internal::RpcMethod method(path_.c_str(), grpc::internal::RpcMethod::BIDI_STREAMING, channel_);
    stream_.reset(grpc::internal::ClientReaderWriterFactory<grpc::ByteBuffer, grpc::ByteBuffer>::Create(
        channel_.get(), method, &context_));
  }
  return *stream_;
}

bool RawStream::SendBuffer(const grpc::ByteBuffer& buffer) { return stream().Write(buffer); }
bool RawStream::HalfClose() { return stream().WritesDone(); }

std::optional<std::string> RawStream::Receive() {
  grpc::ByteBuffer buffer;
  if (!stream().Read(&buffer)) return std::nullopt;
  return BytesOf(buffer);
}

RpcEnd RawStream::Finish() {
  grpc::ByteBuffer buffer;
  while (stream().Read(&buffer)) {
  }
  finished_ = true;
  return EndOf(stream().Finish(), context_);
}

}  // namespace chunkkv
