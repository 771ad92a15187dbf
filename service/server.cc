#include "service/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "chunkkv/kernels/compaction_device.h"
#include "chunkkv/kernels/status.h"
#include "service/base/executor.h"
#include "service/base/status_macros.h"
#include "service/rpc/kv_cache_service.h"
#include "service/rpc/local_get.h"
#include "service/rpc/rpc_context.h"
#include "service/upkeep.h"

namespace chunkkv {
namespace {

// Bytes that a peer may have in flight on one stream beyond what has been asked for: with the default, which grows with
// the path's bandwidth, many puts at once take memory that no budget counts.
constexpr int kStreamWindowBytes = 64 << 10;
// What gRPC may hold for all connections together before it slows them down.
constexpr size_t kTransportQuotaBytes = size_t{64} << 20;
constexpr int kMaxTransportMetadataBytes = 64 << 10;  // our own, lower limit answers with a reason
constexpr int kMaxStreamsPerConnection = 1024;
constexpr int kLeastPingIntervalMs = 10'000;  // clients ping every 30 s, to notice a server that has vanished

bool IsLoopback(const std::string& host) {
  return host == "localhost" || host == "[::1]" || host.rfind("127.", 0) == 0;
}

absl::StatusOr<std::string> HostOf(const std::string& listen) {
  const size_t colon = listen.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == listen.size()) {
    return InvalidArgument("BAD_LISTEN_ADDRESS", "listen: '" + listen + "' is not host:port");
  }
  return listen.substr(0, colon);
}

size_t ThreadCount(int32_t asked) {
  return asked > 0 ? static_cast<size_t>(asked) : std::max(1U, std::thread::hardware_concurrency());
}

SessionLimits SessionLimitsOf(const ServerOptions& options) {
  SessionLimits limits = options.session;
  limits.max_part_bytes = rpc::kMaxPartBytes;
  limits.max_pin_ms = options.store.max_pin_ms;
  limits.max_ttl_ms = options.store.max_ttl_ms;
  limits.shareable_entries = options.map_entries;
  limits.max_sm_count = options.device_sm_limit;
  return limits;
}

absl::StatusOr<std::unique_ptr<DeviceMemory>> MemoryOf(const CompactionDevice& device, const ServerOptions& options) {
  return options.open_device_memory ? options.open_device_memory() : OpenDeviceMemory(device);
}

// Null where no memory of the device is asked for.
absl::StatusOr<std::unique_ptr<DeviceStorage>> OpenDeviceStorage(const ServerOptions& options,
                                                                 const CompactionDevice& device) {
  if (options.device_memory_bytes == 0) return nullptr;
  CHUNKKV_ASSIGN_OR_RETURN(std::unique_ptr<DeviceMemory> memory, MemoryOf(device, options));
  return DeviceStorage::Open(std::move(memory), options.device_memory_bytes);
}

// Null where clients may not lend any.
absl::StatusOr<std::shared_ptr<DeviceImporter>> OpenDeviceImporter(const ServerOptions& options,
                                                                   const CompactionDevice& device) {
  if (!options.device_regions) return nullptr;
  CHUNKKV_ASSIGN_OR_RETURN(std::unique_ptr<DeviceMemory> memory, MemoryOf(device, options));
  CHUNKKV_ASSIGN_OR_RETURN(std::unique_ptr<Compactor> compactor,
                           options.open_device_memory ? MakeCpuCompactor() : OpenDeviceCompactor(device));
  return DeviceImporter::Open(std::move(compactor), std::move(memory), options.device_sm_limit);
}

absl::StatusOr<ChannelGround> OpenChannelGround(const ServerOptions& options, const CompactionDevice& device) {
  if (options.open_channels) return options.open_channels();
  ChannelGround ground;
  CHUNKKV_ASSIGN_OR_RETURN(ground.library, LoadNccl(options.channels.library_path));
  CHUNKKV_ASSIGN_OR_RETURN(ground.memory, OpenDeviceMemory(device));
  ground.device = device.ordinal;
  ground.make_stream = [&device] { return OpenDeviceStream(device); };
  return ground;
}

// Without channels where they are not asked for, or cannot be had. `device` and `clock` must outlive it.
std::unique_ptr<ChannelHost> OpenChannels(const ServerOptions& options, const CompactionDevice& device,
                                          const Clock& clock) {
  if (!options.channels.enabled) return ChannelHost::Without(ChannelsDisabled());
  absl::StatusOr<ChannelGround> ground = OpenChannelGround(options, device);
  absl::StatusOr<std::unique_ptr<ChannelHost>> host =
      ground.ok() ? ChannelHost::Open(*std::move(ground), options.channels, clock) : ground.status();
  if (host.ok()) return *std::move(host);
  std::fprintf(stderr, "no NCCL channels: %s\n", std::string(host.status().message()).c_str());
  return ChannelHost::Without(host.status());
}

}  // namespace

// Members are destroyed from the last to the first: executors run out before what their tasks work with is gone.
class Server::Impl {
 public:
  Impl(const ServerOptions& options, CompactionDevice device, std::unique_ptr<DeviceStorage> storage,
       std::shared_ptr<DeviceImporter> importer, ProfileTable profiles, const Clock& clock)
      : options_(options),
        store_(options.store, clock,
               {.storage = std::move(storage),
                .post = [this](std::function<void()> task) { compaction_executor_.Post(std::move(task)); },
                .lost = [this](const absl::Status& status) { NoteDeviceLoss(status); }}),
        device_(std::move(device)),
        streams_(options.rpc.max_streams),
        profiles_(std::move(profiles)),
        local_(options.local_socket.path, options.map_entries, std::move(importer), clock),
        channels_(OpenChannels(options_, device_, clock)),
        upkeep_(store_, sessions_, local_.mappings, request_executor_, timers_, options.scrub_bytes_per_second),
        timers_(clock),
        compaction_executor_(ThreadCount(options.thread_count)),
        request_executor_(ThreadCount(options.thread_count)),
        context_{.limits = options.rpc,
                 .session_limits = SessionLimitsOf(options),
                 .store_options = options.store,
                 .store = store_,
                 .device = device_,
                 .compactor = *device_.compactor,
                 .compaction_executor = compaction_executor_,
                 .request_executor = request_executor_,
                 .clock = clock,
                 .timers = timers_,
                 .streams = streams_,
                 .sessions = sessions_,
                 .recorder = recorder_,
                 .profiles = profiles_,
                 .load_rate = load_rate_,
                 .local = local_,
                 .channels = *channels_,
                 .tenants = tenants_,
                 .started_monotonic_ms = clock.MonotonicMs()},
        service_(rpc::MakeKvCacheService(context_)) {}

  absl::Status Listen() {
    CHUNKKV_ASSIGN_OR_RETURN(const std::string host, HostOf(options_.listen));
    if (!options_.insecure_listen && !IsLoopback(host)) {
      return InvalidArgument("INSECURE_LISTEN", "listen: '" + host + "' is not a loopback address; without TLS that " +
                                                    "needs --insecure-listen");
    }
    if (!options_.local_socket.path.empty()) {
      CHUNKKV_ASSIGN_OR_RETURN(
          local_socket_,
          LocalSocket::Listen(options_.local_socket, local_.regions, local_.mappings,
                              [this](const std::string& tenant, PeerId peer, const std::string& request) {
                                return rpc::LocalGet(context_, tenant, peer, request);
                              }));
    }
    grpc::EnableDefaultHealthCheckService(true);
    if (options_.reflection) {
      static std::once_flag once;
      std::call_once(once, [] { grpc::reflection::InitProtoReflectionServerBuilderPlugin(); });
    }
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort(options_.listen, grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(service_.get());
    builder.SetMaxReceiveMessageSize(rpc::kMaxMessageBytes);
    builder.SetMaxSendMessageSize(-1);
    builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
    builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindowBytes);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kLeastPingIntervalMs);
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxTransportMetadataBytes);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection);
    grpc::ResourceQuota quota("chunkkv");
    quota.Resize(kTransportQuotaBytes);
    builder.SetResourceQuota(quota);
    grpc_server_ = builder.BuildAndStart();
    if (grpc_server_ == nullptr || port == 0) {
      return ErrorStatus(absl::StatusCode::kUnavailable, "CANNOT_LISTEN", "cannot listen on " + options_.listen);
    }
    if (options_.device_memory_bytes > 0) SetDeviceTierHealth(true);
    port_ = port;
    address_ = host + ":" + std::to_string(port);
    upkeep_.Start();
    return absl::OkStatus();
  }

  void Shutdown() {
    if (grpc_server_ == nullptr) return;
    if (auto* health = grpc_server_->GetHealthCheckService()) health->SetServingStatus(false);
    streams_.Drain();
    store_.StopPromoting();
    streams_.WaitUntilIdle(std::chrono::milliseconds(options_.grace_ms));
    upkeep_.Stop();
    grpc_server_->Shutdown(std::chrono::system_clock::now());
    grpc_server_->Wait();
    // Tasks may still hold streams that gRPC is done with.
    streams_.WaitUntilNone();
    channels_->Stop();
    local_socket_ = nullptr;
    grpc_server_ = nullptr;
  }

  int port() const { return port_; }
  const std::string& address() const { return address_; }
  EntryStore& store() { return store_; }
  int64_t session_count() const { return sessions_.size(); }
  int64_t local_holdings() const { return local_.regions.size() + local_.mappings.size(); }
  int64_t channel_count() const { return channels_->size(); }
  int64_t channel_messages() const { return channels_->messages(); }
  int64_t stream_count() const {
    return streams_.Count(rpc::StreamKind::kPut) + streams_.Count(rpc::StreamKind::kGet) +
           streams_.Count(rpc::StreamKind::kWatch);
  }

 private:
  // While something is in flight: the gRPC server is still there.
  void NoteDeviceLoss(const absl::Status& status) {
    std::fprintf(stderr, "the device tier is lost: %s\n", std::string(status.message()).c_str());
    SetDeviceTierHealth(false);
  }
  void SetDeviceTierHealth(bool serving) {
    if (auto* health = grpc_server_->GetHealthCheckService()) health->SetServingStatus(kDeviceTierHealth, serving);
  }

  const ServerOptions options_;
  EntryStore store_;
  const CompactionDevice device_;
  rpc::StreamSlots streams_;
  rpc::SessionTable sessions_;
  ScoreRecorder recorder_;
  const ProfileTable profiles_;
  rpc::LoadRate load_rate_;
  const rpc::SingleTenant tenants_;
  LocalTransfers local_;
  const std::unique_ptr<ChannelHost> channels_;
  Upkeep upkeep_;
  rpc::Timers timers_;
  Executor compaction_executor_;
  Executor request_executor_;
  rpc::RpcContext context_;
  const std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<LocalSocket> local_socket_;
  std::unique_ptr<grpc::Server> grpc_server_;
  int port_ = 0;
  std::string address_;
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() { impl_->Shutdown(); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options, const Clock& clock) {
  ProfileTable profiles;
  if (!options.profiles_folder.empty()) {
    CHUNKKV_ASSIGN_OR_RETURN(profiles, ProfileTable::Load(options.profiles_folder));
  }
  CHUNKKV_ASSIGN_OR_RETURN(CompactionDevice device, OpenCompactionDevice(options.device));
  CHUNKKV_ASSIGN_OR_RETURN(std::unique_ptr<DeviceStorage> storage, OpenDeviceStorage(options, device));
  CHUNKKV_ASSIGN_OR_RETURN(std::shared_ptr<DeviceImporter> importer, OpenDeviceImporter(options, device));
  auto impl = std::make_unique<Impl>(options, std::move(device), std::move(storage), std::move(importer),
                                     std::move(profiles), clock);
  CHUNKKV_RETURN_IF_ERROR(impl->Listen());
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

int Server::port() const { return impl_->port(); }
const std::string& Server::address() const { return impl_->address(); }
EntryStore& Server::store() { return impl_->store(); }
int64_t Server::session_count() const { return impl_->session_count(); }
int64_t Server::local_holdings() const { return impl_->local_holdings(); }
int64_t Server::channel_count() const { return impl_->channel_count(); }
int64_t Server::channel_messages() const { return impl_->channel_messages(); }
int64_t Server::stream_count() const { return impl_->stream_count(); }
void Server::Shutdown() { impl_->Shutdown(); }

}  // namespace chunkkv
