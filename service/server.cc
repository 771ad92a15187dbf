#include "service/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>
#include <utility>

#include "chunkkv/kernels/compaction_device.h"
#include "chunkkv/kernels/status.h"
#include "service/base/executor.h"
#include "service/base/status_macros.h"
#include "service/operation/admin_server.h"
#include "service/operation/listen_address.h"
#include "service/operation/log.h"
#include "service/rpc/connection_acceptor.h"
#include "service/rpc/credential_resolver.h"
#include "service/rpc/kv_cache_service.h"
#include "service/rpc/local_get.h"
#include "service/rpc/rpc_context.h"
#include "service/rpc/server_credentials.h"
#include "service/security/certificate_watch.h"
#include "service/security/tenant_file.h"
#include "service/server_state.h"
#include "service/status_page.h"
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
constexpr int kHandshakeMs = 5000;  // a peer that is slower is cut off
constexpr int kLeastPingIntervalMs = 10'000;  // clients ping every 30 s, to notice a server that has vanished

std::unique_ptr<rpc::TenantResolver> MakeResolver(const TenantFile* tenants, const Clock& clock) {
  if (tenants == nullptr) return std::make_unique<rpc::SingleTenant>();
  return std::make_unique<rpc::CredentialResolver>(*tenants, clock);
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

// `tenants` must outlive the store.
StoreOptions StoreOptionsOf(StoreOptions store, const rpc::TenantResolver& tenants, bool is_shared) {
  store.is_shared = is_shared;
  store.quota_of = [&tenants](const std::string& tenant) { return tenants.QuotaOf(tenant); };
  return store;
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
  Log(LogLevel::kWarning, "no NCCL channels", {{log_key::kError, std::string(host.status().message())}});
  return ChannelHost::Without(host.status());
}

}  // namespace

// Members are destroyed from the last to the first: executors run out before what their tasks work with is gone.
class Server::Impl {
 public:
  Impl(const ServerOptions& options, std::unique_ptr<TenantFile> tenant_file, std::unique_ptr<SpanExporter> spans,
       CompactionDevice device,
       std::unique_ptr<DeviceStorage> storage, std::shared_ptr<DeviceImporter> importer, ProfileTable profiles,
       const Clock& clock)
      : options_(options),
        tenant_file_(std::move(tenant_file)),
        tenants_(MakeResolver(tenant_file_.get(), clock)),
        store_(StoreOptionsOf(options.store, *tenants_, tenant_file_ != nullptr), clock,
               {.storage = std::move(storage),
                .post = [this](std::function<void()> task) { compaction_executor_.Post(std::move(task)); },
                .lost = [this](const absl::Status& status) { NoteDeviceLoss(status); }}),
        device_(std::move(device)),
        streams_(options.rpc.max_streams, /*is_shared=*/tenant_file_ != nullptr),
        profiles_(std::move(profiles)),
        spans_(std::move(spans)),
        local_(options.local_socket.path, options.map_entries, std::move(importer), clock),
        channels_(OpenChannels(options_, device_, clock)),
        upkeep_(UpkeepTasks(), request_executor_, timers_),
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
                 .tenants = *tenants_,
                 .metrics = metrics_,
                 .spans = spans_.get(),
                 .started_monotonic_ms = clock.MonotonicMs()},
        service_(rpc::MakeKvCacheService(context_)) {
    metrics_.SetReader([this](MetricReadings& readings) { ReadServerState(State(), readings); });
  }

  absl::Status Listen() {
    CHUNKKV_ASSIGN_OR_RETURN(const ListenAddress listen, ParseListenAddress(options_.listen));
    if (options_.tls.enabled()) {
      CHUNKKV_ASSIGN_OR_RETURN(certificate_, CertificateWatch::Start(options_.tls));
    }
    const bool may_be_reached = options_.insecure_listen || options_.tls.proves_clients();
    using Reach = rpc::ConnectionAcceptor::Reach;
    CHUNKKV_ASSIGN_OR_RETURN(
        connections_, rpc::ConnectionAcceptor::Listen(listen, may_be_reached ? Reach::kAnyHost : Reach::kThisHost,
                                                      options_.rpc.max_connections));
    if (!options_.local_socket.path.empty()) {
      CHUNKKV_ASSIGN_OR_RETURN(
          local_socket_,
          LocalSocket::Listen(options_.local_socket, local_.regions, local_.mappings,
                              [this](const Caller& caller, PeerId peer, const std::string& request) {
                                return rpc::LocalGet(context_, caller, peer, request);
                              }));
    }
    grpc::EnableDefaultHealthCheckService(true);
    if (options_.reflection) {
      static std::once_flag once;
      std::call_once(once, [] { grpc::reflection::InitProtoReflectionServerBuilderPlugin(); });
    }
    grpc::ServerBuilder builder;
    to_grpc_ = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        rpc::MakeServerCredentials(options_.tls));
    builder.RegisterService(service_.get());
    builder.SetMaxReceiveMessageSize(rpc::kMaxMessageBytes);
    builder.SetMaxSendMessageSize(-1);
    builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
    builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindowBytes);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kLeastPingIntervalMs);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, options_.rpc.keepalive_ms);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, options_.rpc.keepalive_timeout_ms);
    // Of a peer that has vanished nothing comes any more, whether or not it had a call.
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, options_.rpc.max_connection_idle_ms);
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxTransportMetadataBytes);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection);
    builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMs);
    grpc::ResourceQuota quota("chunkkv");
    quota.Resize(kTransportQuotaBytes);
    builder.SetResourceQuota(quota);
    grpc_server_ = builder.BuildAndStart();
    if (grpc_server_ == nullptr) {
      return ErrorStatus(absl::StatusCode::kUnavailable, "CANNOT_LISTEN", "gRPC does not start");
    }
    if (!options_.admin_listen.empty()) {
      CHUNKKV_ASSIGN_OR_RETURN(admin_, AdminServer::Listen(options_.admin_listen,
                                                           {.metrics = [this] { return metrics_.Text(); },
                                                            .is_ready = [this] { return !streams_.draining(); },
                                                            .status = [this] { return Page(); }}));
    }
    if (options_.device_memory_bytes > 0) SetDeviceTierHealth(true);
    port_ = connections_->port();
    address_ = listen.host + ":" + std::to_string(port_);
    connections_->Start([this](int listener, int connection) {
      grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
      parameters.listener_fd = listener;
      parameters.fd = connection;
      to_grpc_->HandleNewConnection(&parameters);
    });
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
    connections_->Stop();
    grpc_server_->Shutdown(std::chrono::system_clock::now());
    grpc_server_->Wait();
    // Tasks may still hold streams that gRPC is done with.
    streams_.WaitUntilNone();
    channels_->Stop();
    local_socket_ = nullptr;
    grpc_server_ = nullptr;
    admin_ = nullptr;
  }

  int port() const { return port_; }
  int admin_port() const { return admin_ == nullptr ? 0 : admin_->port(); }
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
  ServerState State() {
    ServerState state;
    state.store = store_.Stats();
    state.is_ready = !streams_.draining();
    state.puts = streams_.Count(rpc::StreamKind::kPut);
    state.gets = streams_.Count(rpc::StreamKind::kGet);
    state.watchers = streams_.Count(rpc::StreamKind::kWatch);
    state.sessions = sessions_.size();
    state.connections = connections_->connections();
    state.refused_connections = connections_->refused();
    state.uptime_ms = context_.clock.MonotonicMs() - context_.started_monotonic_ms;
    if (spans_ != nullptr) state.dropped_spans = spans_->dropped();
    if (certificate_ != nullptr) state.certificate_end_unix_ms = certificate_->end_unix_ms();
    if (tenant_file_ != nullptr) {
      for (const std::string& space : tenant_file_->Current()->Spaces()) {
        state.tenants.emplace_back(space, store_.StatsOf(space));
      }
    }
    return state;
  }
  std::string Page() {
    ServerState state = State();
    state.recent = store_.Recent();
    state.now_unix_ms = context_.clock.UnixMs();
    return StatusPage(state);
  }
  std::vector<std::function<void()>> UpkeepTasks() {
    std::vector<std::function<void()>> tasks = {[this] { store_.ExpireNow(); }, [this] { sessions_.EndStalled(); },
                                                [this] { local_.mappings.Expire(); }};
    if (options_.scrub_bytes_per_second > 0) {
      tasks.push_back([this] { store_.Scrub(options_.scrub_bytes_per_second * Upkeep::kPeriodMs / 1000); });
    }
    if (tenant_file_ != nullptr) tasks.push_back([this] { RefreshTenants(); });
    if (options_.tls.enabled()) tasks.push_back([this] { RefreshCertificate(); });
    return tasks;
  }
  void RefreshTenants() {
    LogRefresh(tenant_file_->Refresh(), "the tenants have changed", "the tenants remain as they were");
  }
  // gRPC reads the files by itself, and tells nobody what is wrong with them.
  void RefreshCertificate() {
    LogRefresh(certificate_->Refresh(), "the certificate has changed",
               "the TLS files are wrong: new connections may fail");
  }
  static void LogRefresh(const absl::StatusOr<bool>& refreshed, const char* changed, const char* wrong) {
    if (!refreshed.ok()) {
      Log(LogLevel::kError, wrong, {{log_key::kError, std::string(refreshed.status().message())}});
    } else if (*refreshed) {
      Log(LogLevel::kInfo, changed);
    }
  }
  // While something is in flight: the gRPC server is still there.
  void NoteDeviceLoss(const absl::Status& status) {
    Log(LogLevel::kError, "the device tier is lost", {{log_key::kError, std::string(status.message())}});
    SetDeviceTierHealth(false);
  }
  void SetDeviceTierHealth(bool serving) {
    if (auto* health = grpc_server_->GetHealthCheckService()) health->SetServingStatus(kDeviceTierHealth, serving);
  }

  const ServerOptions options_;
  const std::unique_ptr<TenantFile> tenant_file_;  // null: one tenant
  const std::unique_ptr<rpc::TenantResolver> tenants_;
  std::unique_ptr<CertificateWatch> certificate_;  // null: no TLS
  EntryStore store_;
  const CompactionDevice device_;
  rpc::StreamSlots streams_;
  rpc::SessionTable sessions_;
  ScoreRecorder recorder_;
  const ProfileTable profiles_;
  rpc::LoadRate load_rate_;
  Metrics metrics_;
  const std::unique_ptr<SpanExporter> spans_;
  LocalTransfers local_;
  const std::unique_ptr<ChannelHost> channels_;
  Upkeep upkeep_;
  rpc::Timers timers_;
  Executor compaction_executor_;
  Executor request_executor_;
  rpc::RpcContext context_;
  const std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<LocalSocket> local_socket_;
  std::unique_ptr<rpc::ConnectionAcceptor> connections_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> to_grpc_;
  std::unique_ptr<grpc::Server> grpc_server_;
  std::unique_ptr<AdminServer> admin_;
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
  std::unique_ptr<TenantFile> tenants;
  if (!options.tenants_file.empty()) {
    CHUNKKV_ASSIGN_OR_RETURN(tenants, TenantFile::Load(options.tenants_file, options.audience));
  }
  std::unique_ptr<SpanExporter> spans;
  if (!options.trace_endpoint.empty()) {
    CHUNKKV_ASSIGN_OR_RETURN(spans, SpanExporter::Start(options.trace_endpoint));
  }
  CHUNKKV_ASSIGN_OR_RETURN(CompactionDevice device, OpenCompactionDevice(options.device));
  CHUNKKV_ASSIGN_OR_RETURN(std::unique_ptr<DeviceStorage> storage, OpenDeviceStorage(options, device));
  CHUNKKV_ASSIGN_OR_RETURN(std::shared_ptr<DeviceImporter> importer, OpenDeviceImporter(options, device));
  auto impl = std::make_unique<Impl>(options, std::move(tenants), std::move(spans), std::move(device), std::move(storage),
                                     std::move(importer), std::move(profiles), clock);
  CHUNKKV_RETURN_IF_ERROR(impl->Listen());
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

int Server::port() const { return impl_->port(); }
int Server::admin_port() const { return impl_->admin_port(); }
const std::string& Server::address() const { return impl_->address(); }
EntryStore& Server::store() { return impl_->store(); }
int64_t Server::session_count() const { return impl_->session_count(); }
int64_t Server::local_holdings() const { return impl_->local_holdings(); }
int64_t Server::channel_count() const { return impl_->channel_count(); }
int64_t Server::channel_messages() const { return impl_->channel_messages(); }
int64_t Server::stream_count() const { return impl_->stream_count(); }
void Server::Shutdown() { impl_->Shutdown(); }

}  // namespace chunkkv
