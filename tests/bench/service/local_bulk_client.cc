#include "tests/bench/service/local_bulk_client.h"

#include <sys/mman.h>

#include <cstring>
#include <utility>

#include "service/base/check.h"
#include "tests/support/get_client.h"
#include "tests/support/put_client.h"

namespace chunkkv::bench {

LocalBulkClient::LocalBulkClient(v1::KvCacheService::Stub& stub, const std::string& socket_path, int64_t size_bytes)
    : stub_(stub), client_(socket_path), file_(size_bytes) {
  std::memset(file_.bytes().data(), 1, file_.bytes().size());
  region_id_ = RegisterFile(client_, stub, file_, size_bytes);
  CHUNKKV_CHECK(!region_id_.empty());
}

void LocalBulkClient::Load(const PutRequest& request, const Prompt& prompt) {
  std::byte* to = file_.bytes().data();
  for (int32_t layer = 0; layer < LayerCount(request.layout); ++layer) {
    for (const Bytes& tensor : prompt[layer].tensors) {
      std::memcpy(to, tensor.data(), tensor.size());
      to += tensor.size();
    }
  }
}

v1::Committed LocalBulkClient::Put(const PutRequest& put, const Prompt& prompt, uint8_t key) {
  PutRequest request = put;
  request.key.fill(key);
  grpc::ClientContext context;
  const auto stream = stub_.PutCache(&context);
  v1::PutCacheRequest message;
  *message.mutable_begin() = BeginOf(request);
  message.mutable_begin()->set_transfer_id(NextTransfer());
  stream->Write(message);
  int64_t offset = 0;
  for (int32_t layer = 0; layer < LayerCount(request.layout); ++layer) {
    for (const auto& [tensor, scores] : ScoreInputsOf(prompt[layer])) {
      stream->Write(InlinePart(BytesPart(layer, tensor, 0, static_cast<int64_t>(scores->size())), *scores));
    }
    for (size_t tensor = 0; tensor < prompt[layer].tensors.size(); ++tensor) {
      const auto size = static_cast<int64_t>(prompt[layer].tensors[tensor].size());
      message = InlinePart(RowsPart(request, layer, tensor, 0, request.token_count), {});
      v1::TensorPayload* payload = message.mutable_part()->mutable_payload();
      payload->mutable_region()->set_region_id(region_id_);
      payload->mutable_region()->set_offset_bytes(offset);
      payload->mutable_region()->set_length_bytes(size);
      stream->Write(message);
      offset += size;
    }
  }
  message.mutable_commit();
  stream->WriteLast(message, grpc::WriteOptions());
  v1::PutCacheResponse response;
  while (stream->Read(&response)) {
  }
  CHUNKKV_CHECK(stream->Finish().ok() && response.has_committed());
  return response.committed();
}

void LocalBulkClient::GetInto(const PutRequest& put, uint8_t key) {
  PutRequest request = put;
  request.key.fill(key);
  v1::GetCacheRequest get = GetRequestOf(request);
  get.set_transfer_id(NextTransfer());
  *get.mutable_target() = DenseTarget(region_id_, request);
  grpc::ClientContext context;
  const auto stream = stub_.GetCache(&context, get);
  v1::GetCacheResponse response;
  while (stream->Read(&response)) {
  }
  CHUNKKV_CHECK(stream->Finish().ok());
}

namespace {

v1::GetCacheRequest MapRequestOf(const PutRequest& put, uint8_t key) {
  PutRequest request = put;
  request.key.fill(key);
  v1::GetCacheRequest get = GetRequestOf(request);
  get.mutable_target()->set_map(true);
  return get;
}

}  // namespace

std::unique_ptr<LocalBulkClient::Mapped> LocalBulkClient::GetMapped(const PutRequest& request, uint8_t key) {
  grpc::ClientContext context;
  const auto stream = stub_.GetCache(&context, MapRequestOf(request, key));
  v1::GetCacheResponse response;
  CHUNKKV_CHECK(stream->Read(&response) && response.header().has_mapping());
  const v1::Mapping mapping = response.header().mapping();
  const ReceivedLocalMessage fetched = client_.Map(mapping.token());
  auto mapped = std::make_unique<Mapped>(client_, mapping, fetched.descriptor);
  CHUNKKV_CHECK(!stream->Read(&response) && stream->Finish().ok());
  return mapped;
}

std::unique_ptr<LocalBulkClient::Mapped> LocalBulkClient::GetMappedLocally(const PutRequest& request, uint8_t key) {
  const ReceivedLocalMessage answer = client_.Get(MapRequestOf(request, key).SerializeAsString());
  v1::GetHeader header;
  CHUNKKV_CHECK(header.ParseFromString(answer.body));
  return std::make_unique<Mapped>(client_, header.mapping(), answer.descriptor);
}

LocalBulkClient::Mapped::Mapped(LocalClient& client, const v1::Mapping& mapping, const FileDescriptor& descriptor)
    : client_(client), token_(mapping.token()) {
  CHUNKKV_CHECK(descriptor.is_open());
  const auto size = static_cast<size_t>(mapping.size_bytes());
  void* const address = mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor.get(), 0);
  CHUNKKV_CHECK(address != MAP_FAILED);
  bytes_ = {static_cast<const std::byte*>(address), size};
}

LocalBulkClient::Mapped::~Mapped() {
  munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  client_.Release(token_);
}

}  // namespace chunkkv::bench
