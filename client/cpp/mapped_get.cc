#include "client/cpp/mapped_get.h"

#include <sys/mman.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <utility>

#include "chunkkv/kernels/status.h"
#include "client/cpp/call.h"
#include "client/cpp/call_time.h"
#include "client/cpp/convert.h"
#include "client/cpp/entry_receiver.h"
#include "client/cpp/expected_entry.h"
#include "client/cpp/local_connection.h"
#include "service/base/status_macros.h"

namespace chunkkv::client {
namespace {

// An entry of the server's, and the descriptor of its memory.
struct Offered {
  v1::GetHeader header;
  FileDescriptor descriptor{-1};
};

// Released, once nobody holds it.
struct Mapped {
  std::shared_ptr<LocalConnection> local;
  Bytes32 token{};
  void* address = MAP_FAILED;
  size_t size_bytes = 0;
  ~Mapped() {
    if (address != MAP_FAILED) munmap(address, size_bytes);
    local->Release(token);
  }
};

absl::StatusOr<Offered> AskLocally(LocalConnection& local, const GetRequest& request, v1::GetCacheRequest proto,
                                   const CallOptions& options) {
  // The socket takes keys: digests of a long prompt would keep others waiting.
  if (const std::optional<Bytes32> key = KeyOf(request.prompt)) {
    proto.mutable_prompt()->Clear();
    proto.mutable_prompt()->set_key(ToString(*key));
  }
  CHUNKKV_ASSIGN_OR_RETURN(ReceivedLocalMessage answer, local.Get(proto.SerializeAsString(), options.timeout));
  Offered offered = {{}, std::move(answer.descriptor)};
  if (!offered.header.ParseFromString(answer.body)) return BadReply("the answer is no header");
  return offered;
}

absl::StatusOr<Offered> AskOverGrpc(Client::Impl& client, LocalConnection& local, const v1::GetCacheRequest& proto,
                                    const CallTime& time) {
  CallContext context(client.metadata(), time.options());
  const auto stream = client.stub().GetCache(context.get(), proto);
  v1::GetCacheResponse response;
  const bool has_header = stream->Read(&response) && response.has_header();
  v1::GetHeader header = response.header();
  while (stream->Read(&response)) {
  }
  const grpc::Status status = stream->Finish();
  if (!status.ok()) return context.Convert(status);
  const auto token = FixedFromView<32>(header.mapping().token());
  if (!has_header || !token) return BadReply("no mapping came");
  CHUNKKV_ASSIGN_OR_RETURN(FileDescriptor descriptor, local.Map(*token, time.options().timeout));
  return Offered{std::move(header), std::move(descriptor)};
}

}  // namespace

absl::StatusOr<CachedEntry> RunMappedGet(Client::Impl& client, const GetRequest& request, v1::GetCacheRequest proto,
                                         const CallOptions& options) {
  proto.mutable_target()->set_map(true);
  const CallTime time(options, [] { return std::chrono::steady_clock::now(); });
  CHUNKKV_ASSIGN_OR_RETURN(std::shared_ptr<LocalConnection> local, client.Local(options));
  absl::StatusOr<Offered> offered = ErrorStatus(absl::StatusCode::kUnimplemented, "USE_GRPC", "not asked yet");
  if (request.wait.count() == 0 && !request.lease_id) offered = AskLocally(*local, request, proto, time.options());
  if (!offered.ok()) {
    if (request.lease_id) proto.set_lease_id(ToString(*request.lease_id));
    offered = AskOverGrpc(client, *local, proto, time);
  }
  if (!offered.ok()) return offered.status();
  const v1::Mapping& mapping = offered->header.mapping();
  const auto token = FixedFromView<32>(mapping.token());
  if (!token || mapping.size_bytes() < 0) return BadReply("the mapping has no token, or no size");
  auto mapped = std::make_shared<Mapped>();
  mapped->local = std::move(local);
  mapped->token = *token;
  mapped->size_bytes = static_cast<size_t>(mapping.size_bytes());
  if (mapped->size_bytes > 0) {
    mapped->address = mmap(nullptr, mapped->size_bytes, PROT_READ, MAP_SHARED, offered->descriptor.get(), 0);
    if (mapped->address == MAP_FAILED) {
      return ErrorStatus(absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY",
                         std::string("the entry cannot be mapped: ") + std::strerror(errno));
    }
  }
  EntryReceiver receiver(request);
  const absl::Span<std::byte> memory(static_cast<std::byte*>(mapped->address), mapped->size_bytes);
  receiver.PlaceIn(memory, std::move(mapped));
  CHUNKKV_RETURN_IF_ERROR(receiver.Open(offered->header, 0, INT32_MAX));
  CHUNKKV_RETURN_IF_ERROR(receiver.TakeMapped(request.verify_mapped));
  return receiver.Finish();
}

}  // namespace chunkkv::client
