#include "client/cpp/put_stream.h"

#include <grpcpp/impl/codegen/rpc_method.h>

#include <vector>

#include "chunkkv/kernels/status.h"
#include "client/cpp/client_impl.h"
#include "client/cpp/convert.h"
#include "client/cpp/part_codec.h"
#include "service/format/digest.h"

namespace chunkkv::client {
namespace {

// What a slice keeps alive: the caller's promise, or memory of its own.
struct SliceOwner {
  std::shared_ptr<BorrowedBytes> borrowed;
  std::shared_ptr<void> memory;
};

void ReleaseSlice(void* data) {
  auto* owner = static_cast<SliceOwner*>(data);
  const std::shared_ptr<BorrowedBytes> borrowed = std::move(owner->borrowed);
  delete owner;
  borrowed->GiveBack();
}

}  // namespace

void BorrowedBytes::Take() {
  MutexLock lock(mutex_);
  ++count_;
}

void BorrowedBytes::GiveBack() {
  MutexLock lock(mutex_);
  if (--count_ == 0) none_.NotifyAll();
}

void BorrowedBytes::AwaitNone() {
  MutexLock lock(mutex_);
  while (count_ > 0) none_.Wait(mutex_);
}

PutStream::PutStream(const std::shared_ptr<grpc::Channel>& channel, const CallMetadata& metadata,
                     const CallOptions& options, std::function<void(const v1::PutCacheResponse&)> on_reply,
                     std::function<void(const absl::Status&)> on_end)
    : context_(metadata, options), on_reply_(std::move(on_reply)), on_end_(std::move(on_end)) {
  const grpc::internal::RpcMethod method(kPutMethod, nullptr, grpc::internal::RpcMethod::BIDI_STREAMING, channel);
  stream_.reset(grpc::internal::ClientReaderWriterFactory<grpc::ByteBuffer, grpc::ByteBuffer>::Create(
      channel.get(), method, context_.get()));
  reader_ = std::thread([this] { Read(); });
}

PutStream::~PutStream() {
  bool has_ended = false;
  {
    MutexLock lock(mutex_);
    has_ended = has_ended_;
  }
  if (!has_ended) Cancel();
  reader_.join();
}

bool PutStream::Write(const v1::PutCacheRequest& request) {
  MutexLock lock(write_mutex_);
  return stream_->Write(ToByteBuffer(request));
}

bool PutStream::WritePart(const v1::Part& part, absl::Span<const std::byte> bytes, std::shared_ptr<void> owner,
                          const std::shared_ptr<BorrowedBytes>& borrowed) {
  const std::string head = EncodePartHead(part, PartChecksum(bytes), bytes.size());
  borrowed->Take();
  const grpc::Slice slices[] = {grpc::Slice(head.data(), head.size()),
                                grpc::Slice(const_cast<std::byte*>(bytes.data()), bytes.size(), ReleaseSlice,
                                            new SliceOwner{borrowed, std::move(owner)})};
  const grpc::ByteBuffer message(slices, 2);
  MutexLock lock(write_mutex_);
  return stream_->Write(message);
}

bool PutStream::HalfClose() {
  MutexLock lock(write_mutex_);
  return stream_->WritesDone();
}

void PutStream::AwaitEnd() {
  MutexLock lock(mutex_);
  while (!has_ended_) ended_changed_.Wait(mutex_);
}

void PutStream::Read() {
  absl::Status failure;
  grpc::ByteBuffer message;
  while (stream_->Read(&message)) {
    std::vector<grpc::Slice> slices;
    v1::PutCacheResponse reply;
    if (!message.Dump(&slices).ok() || !FromSlices(slices, &reply)) {
      if (failure.ok()) failure = BadReply("a message of a put cannot be parsed");
      Cancel();
      continue;
    }
    on_reply_(reply);
  }
  const absl::Status status = context_.Convert(stream_->Finish());
  on_end_(failure.ok() ? status : failure);
  MutexLock lock(mutex_);
  has_ended_ = true;
  ended_changed_.NotifyAll();
}

}  // namespace chunkkv::client
