#include <grpcpp/impl/codegen/rpc_method.h>
#include <grpcpp/support/sync_stream.h>

#include <algorithm>
#include <thread>

#include "chunkkv/kernels/status.h"
#include "client/cpp/call.h"
#include "client/cpp/client_impl.h"
#include "client/cpp/convert.h"
#include "client/cpp/entry_receiver.h"
#include "client/cpp/mapped_get.h"
#include "client/cpp/part_codec.h"
#include "client/cpp/region_impl.h"
#include "service/base/mutex.h"
#include "service/base/status_macros.h"

namespace chunkkv::client {
namespace {

constexpr uint8_t kPartTag = 0x7A;  // field 15, length-delimited

v1::GetCacheRequest RequestOf(const GetRequest& request) {
  v1::GetCacheRequest proto;
  SetModelRef(request.model, &proto);
  if (request.shard) ToProto(*request.shard, proto.mutable_shard());
  ToProto(request.prompt, proto.mutable_prompt());
  ToProto(request.accept, proto.mutable_accept());
  if (request.if_entry_id) proto.set_if_entry_id(ToString(*request.if_entry_id));
  if (request.layers) {
    proto.mutable_layers()->set_begin(request.layers->first);
    proto.mutable_layers()->set_end(request.layers->second);
  }
  if (request.tokens) {
    proto.mutable_tokens()->set_begin(request.tokens->first);
    proto.mutable_tokens()->set_end(request.tokens->second);
  }
  proto.set_position_mode(static_cast<v1::PositionMode>(request.position_mode));
  proto.set_wait_ms(request.wait.count());
  proto.set_max_part_bytes(static_cast<int32_t>(kPartBytes));
  return proto;
}

// One stream of `layers`. The first one opens `receiver` with the layers `opened`.
class LayerStream {
 public:
  LayerStream(EntryReceiver& receiver, bool is_first, const LayerRange& layers, const LayerRange& opened)
      : receiver_(receiver), is_first_(is_first), layers_(layers), opened_(opened) {}

  // Over channel `index` of the client.
  absl::Status Run(Client::Impl& client, int32_t index, const v1::GetCacheRequest& request,
                   const CallOptions& options) {
    const std::shared_ptr<grpc::Channel> channel = client.Channel(index);
    CallContext context(client.metadata(), options);
    const grpc::internal::RpcMethod method(kGetMethod, nullptr, grpc::internal::RpcMethod::SERVER_STREAMING, channel);
    const std::unique_ptr<grpc::ClientReader<grpc::ByteBuffer>> reader(
        grpc::internal::ClientReaderFactory<grpc::ByteBuffer>::Create(channel.get(), method, context.get(),
                                                                      ToByteBuffer(request)));
    absl::Status status;
    grpc::ByteBuffer message;
    while (reader->Read(&message)) {
      if (!status.ok()) continue;
      std::vector<grpc::Slice> slices;
      status = message.Dump(&slices).ok() ? Take(slices) : BadReply("a message cannot be read");
      if (!status.ok()) context.get()->TryCancel();
    }
    const absl::Status ended = context.Convert(reader->Finish());
    if (!status.ok()) return status;
    if (!ended.ok()) return ended;
    return has_header_ ? absl::OkStatus() : BadReply("a get without a header");
  }

 private:
  absl::Status Take(const std::vector<grpc::Slice>& slices) {
    const bool is_part = !slices.empty() && slices[0].size() > 0 && *slices[0].begin() == kPartTag;
    if (is_part && has_header_) return receiver_.TakePart(slices, layers_);
    v1::GetCacheResponse reply;
    if (!FromSlices(slices, &reply)) return BadReply("a message of a get cannot be parsed");
    if (reply.has_header() && !has_header_) {
      has_header_ = true;
      return is_first_ ? receiver_.Open(reply.header(), opened_.begin, opened_.end)
                       : receiver_.CheckSame(reply.header());
    }
    if (reply.has_written() && has_header_) return receiver_.TakeWritten(reply.written().layer(), layers_);
    if (reply.has_layer_end() && has_header_) return receiver_.EndLayer(reply.layer_end(), layers_);
    return BadReply("a message out of order");
  }

  EntryReceiver& receiver_;
  const bool is_first_;
  const LayerRange layers_;  // that this stream brings
  const LayerRange opened_;  // that are wanted in all
  bool has_header_ = false;
};

// The rest of the entry, [begin, end), in equal shares over `channel_count` connections.
absl::Status RunInParallel(Client::Impl& client, EntryReceiver& receiver, const v1::GetCacheRequest& request,
                           int32_t begin, int32_t channel_count, const CallOptions& options) {
  const int32_t layer_count = receiver.end_layer() - begin;
  const int32_t shares = std::min(channel_count, layer_count);
  Cancellation stop;  // ends the others when one share fails
  CallOptions share_options = options;
  share_options.cancellation = stop;
  const CancellationGuard pass_on(options.cancellation, [&stop] { stop.Cancel(); });
  Mutex mutex;
  absl::Status failure;
  const auto run = [&](int32_t share) {
    v1::GetCacheRequest part = request;
    const int32_t first = begin + static_cast<int32_t>(int64_t{layer_count} * share / shares);
    const int32_t last = begin + static_cast<int32_t>(int64_t{layer_count} * (share + 1) / shares);
    part.mutable_layers()->set_begin(first);
    part.mutable_layers()->set_end(last);
    LayerStream stream(receiver, /*is_first=*/false, {first, last}, {});
    const absl::Status status = stream.Run(client, share, part, share_options);
    if (status.ok()) return;
    {
      MutexLock lock(mutex);
      if (failure.ok()) failure = status;
    }
    stop.Cancel();
  };
  std::vector<std::thread> threads;
  for (int32_t share = 1; share < shares; ++share) threads.emplace_back(run, share);
  if (shares > 0) run(0);
  for (std::thread& thread : threads) thread.join();
  return failure;
}

// What is left of the caller's time.
CallOptions Remaining(CallOptions options, std::chrono::steady_clock::time_point start) {
  if (options.timeout.count() == 0) return options;
  const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
  options.timeout = std::max(std::chrono::milliseconds(1), options.timeout - passed);
  return options;
}

// The server ends a lease with the one get that names it; several share this one. It ends by itself where this fails.
void EndLease(Client::Impl& client, const Bytes16& lease_id) {
  CallContext context(client.metadata(), {.timeout = std::chrono::seconds(5), .cancellation = std::nullopt});
  v1::UnpinCachesRequest request;
  request.add_pin_ids(ToString(lease_id));
  v1::UnpinCachesResponse response;
  client.stub().UnpinCaches(context.get(), request, &response);
}

// One layer tells which entry it is; the rest is fetched of that very one.
absl::Status RunOverChannels(Client::Impl& client, EntryReceiver& receiver, v1::GetCacheRequest proto,
                             const LayerRange& wanted, int32_t channel_count, const CallOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const LayerRange first_layer{wanted.begin, wanted.begin + 1};
  proto.mutable_layers()->set_begin(first_layer.begin);
  proto.mutable_layers()->set_end(first_layer.end);
  LayerStream first(receiver, /*is_first=*/true, first_layer, wanted);
  CHUNKKV_RETURN_IF_ERROR(first.Run(client, 0, proto, options));
  proto.set_if_entry_id(ToString(receiver.header().entry_id));
  proto.set_wait_ms(0);
  return RunInParallel(client, receiver, proto, first_layer.end, channel_count, Remaining(options, start));
}

// On the server's side of the wire, into the caller's region.
absl::StatusOr<CachedEntry> RunIntoRegion(Client::Impl& client, const GetRequest& request, v1::GetCacheRequest proto,
                                          const CallOptions& options) {
  const Region::Impl& region = request.region->impl();
  proto.set_transfer_id(NewTransferId());
  if (request.lease_id) proto.set_lease_id(ToString(*request.lease_id));
  proto.mutable_target()->mutable_whole()->set_region_id(region.id());
  proto.mutable_target()->mutable_whole()->set_length_bytes(static_cast<int64_t>(region.bytes().size()));
  EntryReceiver receiver(request);
  receiver.PlaceIn(region.bytes(), nullptr, region.is_on_host());
  LayerRange wanted;
  if (request.layers) wanted = {request.layers->first, request.layers->second};
  LayerStream stream(receiver, /*is_first=*/true, wanted, wanted);
  if (const absl::Status status = stream.Run(client, 0, proto, options); !status.ok()) {
    client.Quiesce(proto.transfer_id());
    return status;
  }
  return receiver.Finish();
}

}  // namespace

absl::StatusOr<CachedEntry> RunGet(Client::Impl& client, const GetRequest& request, const CallOptions& options) {
  if (request.mapped) return RunMappedGet(client, request, RequestOf(request), options);
  if (request.region != nullptr) return RunIntoRegion(client, request, RequestOf(request), options);
  EntryReceiver receiver(request);
  v1::GetCacheRequest proto = RequestOf(request);
  LayerRange wanted;
  if (request.layers) wanted = {request.layers->first, request.layers->second};
  const int32_t channel_count = std::clamp(request.channel_count, 1, kMaxChannels);
  if (channel_count == 1 || int64_t{wanted.end} - wanted.begin == 1) {
    if (request.lease_id) proto.set_lease_id(ToString(*request.lease_id));
    LayerStream stream(receiver, /*is_first=*/true, wanted, wanted);
    CHUNKKV_RETURN_IF_ERROR(stream.Run(client, 0, proto, options));
    return receiver.Finish();
  }
  const absl::Status status = RunOverChannels(client, receiver, std::move(proto), wanted, channel_count, options);
  if (request.lease_id) EndLease(client, *request.lease_id);
  CHUNKKV_RETURN_IF_ERROR(status);
  return receiver.Finish();
}

}  // namespace chunkkv::client
