#include "tests/bench/service/bulk_client.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/impl/codegen/rpc_method.h>
#include <grpcpp/support/sync_stream.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include "service/base/check.h"
#include "service/format/digest.h"
#include "service/rpc/part_message.h"
#include "tests/support/get_client.h"
#include "tests/support/put_client.h"

namespace chunkkv::bench {
namespace {

constexpr int64_t kPartBytes = 1 << 20;

using Stream = grpc::ClientReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>;

std::unique_ptr<Stream> Open(grpc::Channel* channel, const std::string& path, grpc::ClientContext* context) {
  const grpc::internal::RpcMethod method(path.c_str(), grpc::internal::RpcMethod::BIDI_STREAMING);
  return std::unique_ptr<Stream>(
      grpc::internal::ClientReaderWriterFactory<grpc::ByteBuffer, grpc::ByteBuffer>::Create(channel, method, context));
}

constexpr char kPut[] = "/chunkkv.v1.KvCacheService/PutCache";
constexpr char kGet[] = "/chunkkv.v1.KvCacheService/GetCache";

template <typename Message>
grpc::ByteBuffer BufferOfMessage(const Message& message) {
  return BufferOf(message.SerializeAsString());
}

}  // namespace

std::shared_ptr<grpc::Channel> NewChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

PreparedPut::PreparedPut(const PutRequest& request, const Prompt& prompt) : request_(request) {
  for (int32_t layer = 0; layer < LayerCount(request.layout); ++layer) {
    layers_.emplace_back();
    for (const auto& [tensor, scores] : ScoreInputsOf(prompt[layer])) {
      const PartHeader header = BytesPart(layer, tensor, 0, static_cast<int64_t>(scores->size()));
      Add(request, header, scores->data(), header.end);
    }
    const std::vector<TensorSpec> specs = LayerTensors(request.layout, layer);
    for (size_t tensor = 0; tensor < specs.size(); ++tensor) {
      const int64_t rows = std::max<int64_t>(1, kPartBytes / specs[tensor].row_bytes);
      for (int64_t begin = 0; begin < request.token_count; begin += rows) {
        const int64_t end = std::min(begin + rows, request.token_count);
        Add(request, RowsPart(request, layer, tensor, begin, end),
            prompt[layer].tensors[tensor].data() + begin * specs[tensor].row_bytes,
            (end - begin) * specs[tensor].row_bytes);
      }
    }
  }
}

void PreparedPut::Add(const PutRequest&, const PartHeader& header, const std::byte* bytes, int64_t size_bytes) {
  // PutCacheRequest and GetCacheResponse have the part under the same number.
  v1::Part part = InlinePart(header, Bytes()).part();
  part.clear_payload();
  grpc::Slice slice(bytes, static_cast<size_t>(size_bytes), grpc::Slice::STATIC_SLICE);
  layers_.back().push_back(rpc::MakePartResponse(
      part, PartChecksum(absl::MakeConstSpan(bytes, static_cast<size_t>(size_bytes))), std::move(slice)));
  size_bytes_ += size_bytes;
}

v1::Committed PreparedPut::Run(const std::vector<std::shared_ptr<grpc::Channel>>& channels, uint8_t key) const {
  PutRequest request = request_;
  request.key.fill(key);
  grpc::ClientContext context;
  const std::unique_ptr<Stream> first = Open(channels[0].get(), kPut, &context);
  v1::PutCacheRequest begin;
  *begin.mutable_begin() = BeginOf(request);
  first->Write(BufferOfMessage(begin));
  grpc::ByteBuffer buffer;
  v1::PutCacheResponse response;
  CHUNKKV_CHECK(first->Read(&buffer) && response.ParseFromString(BytesOf(buffer)) && response.has_begun());
  const std::string session_id = response.begun().session_id();
  // Layers in turn, so that all connections are near the same layer.
  const auto send = [&](Stream& stream, size_t which) {
    for (size_t layer = which; layer < layers_.size(); layer += channels.size()) {
      for (const grpc::ByteBuffer& part : layers_[layer]) stream.Write(part);
    }
  };
  std::vector<std::thread> others;
  for (size_t which = 1; which < channels.size(); ++which) {
    others.emplace_back([&, which] {
      grpc::ClientContext attached_context;
      const std::unique_ptr<Stream> attached = Open(channels[which].get(), kPut, &attached_context);
      v1::PutCacheRequest attach;
      attach.mutable_attach()->set_session_id(session_id);
      attached->Write(BufferOfMessage(attach));
      send(*attached, which);
      attached->WritesDone();
      CHUNKKV_CHECK(attached->Finish().ok());
    });
  }
  send(*first, 0);
  for (std::thread& other : others) other.join();
  v1::PutCacheRequest commit;
  commit.mutable_commit();
  first->WriteLast(BufferOfMessage(commit), grpc::WriteOptions());
  while (first->Read(&buffer)) CHUNKKV_CHECK(response.ParseFromString(BytesOf(buffer)));
  CHUNKKV_CHECK(first->Finish().ok() && response.has_committed());
  return response.committed();
}

int64_t RunGet(const std::shared_ptr<grpc::Channel>& channel, const PutRequest& put, uint8_t key,
               std::vector<std::byte>& to) {
  PutRequest request = put;
  request.key.fill(key);
  grpc::ClientContext context;
  const std::unique_ptr<Stream> stream = Open(channel.get(), kGet, &context);
  stream->WriteLast(BufferOfMessage(GetRequestOf(request)), grpc::WriteOptions());
  int64_t received = 0;
  grpc::ByteBuffer buffer;
  std::vector<grpc::Slice> slices;
  while (stream->Read(&buffer)) {
    slices.clear();
    CHUNKKV_CHECK(buffer.Dump(&slices).ok());
    for (const grpc::Slice& slice : slices) {
      // Heads of messages are copied too: they are a few bytes.
      const size_t count = std::min(slice.size(), to.size() - static_cast<size_t>(received));
      std::memcpy(to.data() + received, slice.begin(), count);
      received += static_cast<int64_t>(count);
    }
  }
  CHUNKKV_CHECK(stream->Finish().ok());
  return received;
}

}  // namespace chunkkv::bench
